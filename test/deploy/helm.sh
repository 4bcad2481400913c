#!/usr/bin/env bash
# The Helm chart: rendered, checked against the schemas of Kubernetes, installed on a real control plane, and its pod started as a process.
#   test/deploy/helm.sh         everything; TEST_ENGINES=minio adds the guide on MinIO. Needs `npm run pretest`
#   test/deploy/helm.sh tools   only fetches and builds what the tests use, which takes minutes once: put it in the background
# The tools stay in a folder outside of the clone. A control plane without nodes runs no pods: what a pod would run is started as a process.
set -euo pipefail
cd "$(dirname "$0")/../.."

HELM_VERSION=v4.3.2
VALIDATE_VERSION=1.37.0
# The custom resources of Prometheus Operator and of the Gateway API, from their sources
PROMETHEUS_OPERATOR_VERSION=v0.85.0
GATEWAY_API_VERSION=v1.6.3

PLANE=test/deploy/control-plane
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/story-images/helm
VERSIONS="$HELM_VERSION $VALIDATE_VERSION $PROMETHEUS_OPERATOR_VERSION $GATEWAY_API_VERSION"
BIN=$CACHE/bin-$(cat - $PLANE/go.mod $PLANE/go.sum <<<"$VERSIONS" | sha256sum | head -c 16)

die() { echo "helm.sh: $*" >&2; exit 1; }

# Makes the folder BIN in one step, so that one which exists is complete
tools() {
  [[ ! -d $BIN ]] || return 0
  mkdir -p "$CACHE"
  exec 9>"$CACHE/lock"
  flock 9
  [[ ! -d $BIN ]] || return 0
  local new=$BIN.new module kubernetes minor version
  rm -rf "$new"
  mkdir -p "$new/crds"

  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target "$new/python" \
    "kubernetes-validate==$VALIDATE_VERSION" >&2
  crds "github.com/prometheus-operator/prometheus-operator@$PROMETHEUS_OPERATOR_VERSION" \
    example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml \
    example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml
  crds "sigs.k8s.io/gateway-api@$GATEWAY_API_VERSION" config/crd/standard/gateway.networking.k8s.io_httproutes.yaml

  GOBIN=$new nice -n 19 go install "helm.sh/helm/v4/cmd/helm@$HELM_VERSION" >&2
  module=k8s.io/kubernetes
  kubernetes=$(cd $PLANE && go list -m -f '{{.Version}}' $module)
  minor=${kubernetes#v1.} minor=${minor%%.*}
  # Without its version the server does not start
  version=k8s.io/component-base/version
  (cd $PLANE && nice -n 19 go build -o "$new/" \
    -ldflags "-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=$minor" \
    $module/cmd/kube-apiserver $module/cmd/kubectl >&2)
  mv "$new" "$BIN"
  # Those of earlier versions
  find "$CACHE" -maxdepth 1 -name 'bin-*' ! -path "$BIN" -exec rm -rf {} +
}

# Of the package with etcd, without its service
etcd_server() {
  PATH=$BIN:$PATH command -v etcd >/dev/null && return
  (cd "$BIN" && apt-get download -qq etcd-server && dpkg -x etcd-server_*.deb apt && rm etcd-server_*.deb && ln -s apt/usr/bin/etcd .) >&2
}

crds() { # MODULE@VERSION FILE…
  local folder file
  folder=$(go mod download -json "$1" | sed -nE 's/^\t"Dir": "(.*)",?$/\1/p')
  shift
  for file in "$@"; do cp "$folder/$file" "$new/crds/"; done
  chmod -R u+w "$new/crds"
}

work='' pids=()
finish() {
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2>/dev/null || true; done
  for pid in ${pids[@]+"${pids[@]}"}; do wait "$pid" 2>/dev/null || true; done
  if [[ -n $work ]]; then rm -rf -- "$work"; fi
}

# Starts etcd and the API server on free ports of loopback, and writes a KUBECONFIG
control_plane() {
  local ports
  read -ra ports < <(node -e "
    const servers = [0, 0, 0].map(() => require('node:net').createServer().listen(0, '127.0.0.1'))
    setImmediate(() => { console.log(servers.map((s) => s.address().port).join(' ')); servers.forEach((s) => s.close()) })")
  local etcd=http://127.0.0.1:${ports[0]} peer=http://127.0.0.1:${ports[1]} server=https://127.0.0.1:${ports[2]} token
  etcd --data-dir "$work/etcd" --listen-client-urls "$etcd" --advertise-client-urls "$etcd" --listen-peer-urls "$peer" \
    --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer" --unsafe-no-fsync >"$work/etcd.log" 2>&1 &
  pids+=($!)
  token=$(openssl rand -hex 16)
  echo "$token,admin,admin,system:masters" >"$work/tokens.csv"
  openssl genrsa -out "$work/accounts.key" 2048 2>/dev/null
  kube-apiserver --etcd-servers "$etcd" --bind-address 127.0.0.1 --secure-port "${ports[2]}" --cert-dir "$work/certificates" \
    --token-auth-file "$work/tokens.csv" --authorization-mode RBAC --service-cluster-ip-range 10.0.0.0/24 \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$work/accounts.key" \
    --service-account-signing-key-file "$work/accounts.key" --endpoint-reconciler-type none >"$work/apiserver.log" 2>&1 &
  pids+=($!)
  export KUBECONFIG=$work/kubeconfig
  cat >"$KUBECONFIG" <<YAML
apiVersion: v1
kind: Config
clusters: [{ name: test, cluster: { server: "$server", insecure-skip-tls-verify: true } }]
users: [{ name: admin, user: { token: "$token" } }]
contexts: [{ name: test, context: { cluster: test, user: admin } }]
current-context: test
YAML
  for ((SECONDS = 0; SECONDS < 300; )); do
    kill -0 "${pids[1]}" 2>/dev/null || break
    if kubectl get --raw /readyz >/dev/null 2>&1; then
      kubectl apply --server-side -f "$BIN/crds" >/dev/null
      kubectl wait --for condition=established --timeout 300s -f "$BIN/crds" >/dev/null
      return
    fi
    sleep 0.1
  done
  tail -n 20 "$work/etcd.log" "$work/apiserver.log" >&2
  die 'the control plane does not get ready; its last lines are above'
}

case ${1:-} in
  tools)
    tools
    etcd_server
    ;;
  -* | '')
    tools
    etcd_server
    trap finish EXIT
    work=$(mktemp -d "${TMPDIR:-/tmp}/story-images-helm-XXXXXX")
    export PATH=$BIN:$PATH PYTHONPATH=$BIN/python HELM_CACHE_HOME=$work/helm HELM_CONFIG_HOME=$work/helm HELM_DATA_HOME=$work/helm
    control_plane
    # Arguments are those of tap. The files are in no suite of `npm test`, which has no helm
    npx tap "$@" test/deploy/helm/*.test.ts
    ;;
  *) echo "usage: $0 [tools | OPTION-OF-TAP…]" >&2; exit 2 ;;
esac
