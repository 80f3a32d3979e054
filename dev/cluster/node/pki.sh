#!/usr/bin/env bash
# Makes the cluster's certificates and kubeconfigs, valid for 30 days: pki.sh DIRECTORY ADDRESS
set -euo pipefail
state=$1 address=$2
mkdir -p "$state/pki"
cd "$state/pki"

authority() { # FILE
  openssl ecparam -genkey -name prime256v1 -out "$1.key" 2>/dev/null
  openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days 30 -out "$1.crt"
}

cert() { # AUTHORITY FILE NAME GROUP [ALTERNATIVE-NAMES]
  openssl ecparam -genkey -name prime256v1 -out "$2.key" 2>/dev/null
  openssl req -new -key "$2.key" -subj "/O=$4/CN=$3" -out "$2.csr"
  printf 'keyUsage=digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\n%s\n' "${5:+subjectAltName=$5}" >"$2.ext"
  openssl x509 -req -in "$2.csr" -CA "$1.crt" -CAkey "$1.key" -CAcreateserial -days 30 -extfile "$2.ext" -out "$2.crt" 2>/dev/null
}

authority ca
cert ca apiserver kube-apiserver kubernetes \
  "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost,IP:127.0.0.1,IP:$address,IP:10.96.0.1"
cert ca admin admin system:masters
cert ca apiserver-kubelet apiserver-kubelet system:masters
cert ca controllers system:kube-controller-manager kubernetes
cert ca scheduler system:kube-scheduler kubernetes
cert ca proxy system:kube-proxy kubernetes
cert ca kubelet system:node:node1 system:nodes "DNS:node1,IP:$address,IP:127.0.0.1"
# Of the API server towards the servers of aggregated APIs: the metrics server and KEDA.
authority front-proxy-ca
cert front-proxy-ca front-proxy-client front-proxy-client kubernetes
openssl genrsa -out sa.key 2048 2>/dev/null
openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null

for user in admin controllers scheduler proxy kubelet; do
  cat >"../$user.kubeconfig" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: twtr, cluster: {server: "https://$address:6443", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $user, user: {client-certificate-data: $(base64 -w0 $user.crt), client-key-data: $(base64 -w0 $user.key)}}]
contexts: [{name: twtr, context: {cluster: twtr, user: $user}}]
current-context: twtr
YAML
done
