# What the image runs is the same for every platform but for two packages, so all of it is made on the platform of the builder.
FROM --platform=$BUILDPLATFORM node:24.21-trixie-slim@sha256:8ec5d7557396cfe32d21c3f9c13072355ceab22b584578ca4bb28af31120cffe AS build
WORKDIR /app
# Before the sources, so that a change of the code does not install everything again.
COPY package.json package-lock.json .npmrc ./
COPY packages/client/package.json packages/client/
RUN npm ci
COPY . .
RUN npm run build
ARG TARGETARCH
RUN node --import ./build/typescript.mjs build/image.ts /image "$TARGETARCH"

FROM node:24.21-trixie-slim@sha256:8ec5d7557396cfe32d21c3f9c13072355ceab22b584578ca4bb28af31120cffe
LABEL org.opencontainers.image.title="story-images" \
  org.opencontainers.image.description="The image store of an app for illustrated stories: multipart uploads streamed into an S3-compatible bucket or a folder, no database" \
  org.opencontainers.image.licenses="Apache-2.0"
# Beyond the container the server listens only with API_KEYS, or ALLOW_OPEN=true: see docs/security.md.
ENV NODE_ENV=production UV_THREADPOOL_SIZE=16 HOST=0.0.0.0 PORT=8000 DATA_DIR=/data
# /data is made here, so that a new named volume belongs to the user too. Nothing here installs packages.
RUN install -d -o 1000 -g 1000 /data \
  && rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /opt/yarn-* /usr/local/bin/yarn /usr/local/bin/yarnpkg
WORKDIR /app
# Owned by root: the server can't change its own code.
COPY --from=build /image ./
# By number, since Kubernetes' runAsNonRoot takes no names. The root can be read-only: only /data is written, and /tmp by
# `story-images upload` for what it reads from a pipe.
USER 1000:1000
VOLUME /data
EXPOSE 8000
# On SIGTERM the server finishes what it is doing; exec form, because a shell would keep the signal to itself.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/livez`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Without the first flag uploads are slower by a third after each rest, the second saves memory: docs/performance.md
CMD ["node", "--no-memory-reducer", "--liftoff-only", "dist/server.js"]
