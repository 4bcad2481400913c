FROM node:24.21-trixie-slim AS build
WORKDIR /app
# Before the sources, so that a change of the code does not install everything again.
COPY package.json package-lock.json .npmrc ./
COPY packages/client/package.json packages/client/
RUN npm ci
COPY . .
RUN npm run build && npm prune --omit=dev && rm -rf node_modules/.cache

FROM node:24.21-trixie-slim
# Beyond the container the server listens only with API_KEYS, or ALLOW_OPEN=true: see docs/security.md.
ENV NODE_ENV=production UV_THREADPOOL_SIZE=16 HOST=0.0.0.0 PORT=8000 DATA_DIR=/data
WORKDIR /app
# Made here, so that a new named volume belongs to the user too.
RUN install -d -o node -g node /data
# Owned by root: the server can't change its own code. package.json tells Node that dist/ holds ES modules.
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
USER node
VOLUME /data
EXPOSE 8000
# On SIGTERM the server finishes what it is doing; exec form, because a shell would keep the signal to itself.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/livez`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Without the first flag uploads are slower by a third after each rest, the second saves memory: docs/performance.md
CMD ["node", "--no-memory-reducer", "--liftoff-only", "dist/server.js"]
