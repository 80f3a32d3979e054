package temporalserver

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net"
	"os"
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
)

// innerServices are called by the server's own services only.
var innerServices = [...]primitives.ServiceName{primitives.HistoryService, primitives.MatchingService, primitives.WorkerService}

const (
	// The file stores clusterName and shards: a file made with others would be refused or misread.
	clusterName = "active"
	shards      = 1

	workflowStore   = "workflows"
	visibilityStore = "visibility"
)

// unreachable is a rate limit that one machine cannot reach: its processors are the limit.
const unreachable = 100_000

// dynamicConfig replaces defaults that are made for a cluster.
var dynamicConfig = dynamicconfig.StaticClient{
	// By default each queue is read at most 20 times a second, which adds 50 ms to every step of every workflow.
	dynamicconfig.TransferProcessorMaxPollRPS.Key():   5000,
	dynamicconfig.VisibilityProcessorMaxPollRPS.Key(): 1000,
	dynamicconfig.TimerProcessorMaxPollRPS.Key():      1000,

	// With several partitions a task may have to be forwarded to the partition where a poller waits. One host gains nothing from them.
	dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
	dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,

	// A long poll for a workflow's result misses the end of the workflow when another event came just before, because the server keeps
	// only one notification for it. It then finds the end when it expires: by default after 20 s.
	dynamicconfig.HistoryLongPollExpirationInterval.Key(): time.Second,

	// Without this the server accepts fairness keys and ignores them.
	dynamicconfig.MatchingEnableFairness.Key(): true,

	// A load test must measure the processors, not these limits, which default to 1,200 to 3,000 calls a second.
	dynamicconfig.FrontendRPS.Key():                        unreachable,
	dynamicconfig.FrontendMaxNamespaceRPSPerInstance.Key(): unreachable,
	dynamicconfig.HistoryRPS.Key():                         unreachable,
	dynamicconfig.MatchingRPS.Key():                        unreachable,
	dynamicconfig.FrontendPersistenceMaxQPS.Key():          unreachable,
	dynamicconfig.HistoryPersistenceMaxQPS.Key():           unreachable,
	dynamicconfig.MatchingPersistenceMaxQPS.Key():          unreachable,

	// Lists and counts are limited to 10 a second by default. A few open pages of the Web UI, or a test that polls, need more.
	dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key(): 1000,

	// The services see a new namespace or search attribute when they next read the namespaces: by default every 2 s.
	dynamicconfig.NamespaceCacheRefreshInterval.Key(): 500 * time.Millisecond,

	// Stop leaves the workers of these three running, and they go on calling a port that another server may use by then. Without them
	// a closing parent still closes its children, one by one, and the file keeps the few rows that a crash orphans.
	dynamicconfig.EnableParentClosePolicyWorker.Key(): false,
	dynamicconfig.TaskQueueScannerEnabled.Key():       false,
	dynamicconfig.HistoryScannerEnabled.Key():         false,

	// The check asks a host on the internet once a day whether there is a newer version.
	dynamicconfig.EnableServerVersionCheck.Key(): false,
}

// withDynamicConfig returns dynamicConfig with some of its values replaced, by their names in Temporal's documentation.
func withDynamicConfig(values map[string]any) dynamicconfig.StaticClient {
	c := maps.Clone(dynamicConfig)
	for name, value := range values {
		c[dynamicconfig.MakeKey(name)] = value
	}
	return c
}

func serverOptions(
	front *net.TCPAddr, inner [len(innerServices)]*net.TCPAddr, dbs databases, dynamic dynamicconfig.StaticClient, log *logger, secured *TLS,
) []temporal.ServerOption {
	addr := reachable(front).String()
	services := map[string]config.Service{
		// No HTTPPort, so no HTTP API: any web page could send requests to it.
		string(primitives.FrontendService): {RPC: config.RPC{BindOnIP: front.IP.String(), GRPCPort: front.Port}},
	}
	// With static hosts the services know each other's addresses, and the membership protocol with its ports is not needed.
	hosts := map[primitives.ServiceName]static.Hosts{primitives.FrontendService: static.SingleLocalHost(addr)}
	for i, service := range innerServices {
		services[string(service)] = config.Service{RPC: config.RPC{BindOnIP: inner[i].IP.String(), GRPCPort: inner[i].Port}}
		hosts[service] = static.SingleLocalHost(inner[i].String())
	}
	const disabled = "disabled"
	return []temporal.ServerOption{
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithDynamicConfigClient(dynamic),
		temporal.WithLogger(log),
		temporal.WithConfig(&config.Config{
			Global:       config.Global{TLS: secured.server()},
			Services:     services,
			PublicClient: config.PublicClient{HostPort: addr},
			Persistence: config.Persistence{
				DefaultStore:     workflowStore,
				VisibilityStore:  visibilityStore,
				NumHistoryShards: shards,
				DataStores:       map[string]config.DataStore{workflowStore: {SQL: dbs.workflows}, visibilityStore: {SQL: dbs.visibility}},
			},
			ClusterMetadata: &cluster.Config{
				FailoverVersionIncrement: 10,
				MasterClusterName:        clusterName,
				CurrentClusterName:       clusterName,
				ClusterInformation: map[string]cluster.ClusterInformation{
					clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: addr},
				},
			},
			DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
			Archival: config.Archival{
				History:    config.HistoryArchival{State: disabled},
				Visibility: config.VisibilityArchival{State: disabled},
			},
			NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
				History:    config.HistoryArchivalNamespaceDefaults{State: disabled},
				Visibility: config.VisibilityArchivalNamespaceDefaults{State: disabled},
			}},
		}),
	}
}

// client is the configuration of a client that uses the server's own certificate.
func (t *TLS) client() (*tls.Config, error) {
	authority, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	certificate, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{certificate}}, nil
}

// server is that of the front end and its clients among the server's own services.
func (t *TLS) server() config.RootTLS {
	if t == nil {
		return config.RootTLS{}
	}
	client := config.ClientTLS{RootCAFiles: []string{t.CAFile}}
	return config.RootTLS{
		Frontend: config.GroupTLS{
			Server: config.ServerTLS{CertFile: t.CertFile, KeyFile: t.KeyFile, ClientCAFiles: []string{t.CAFile}, RequireClientAuth: true},
			Client: client,
		},
		SystemWorker: config.WorkerTLS{CertFile: t.CertFile, KeyFile: t.KeyFile, Client: client},
	}
}
