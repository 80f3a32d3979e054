package temporalserver

import (
	"net"
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
)

// innerServices are those that only the server's own services talk to.
var innerServices = [...]primitives.ServiceName{primitives.HistoryService, primitives.MatchingService, primitives.WorkerService}

const (
	// clusterName and shards are kept in the file: a file made with others would be refused or read wrongly.
	clusterName = "active"
	shards      = 1

	storeName = "sqlite"
)

// enough is a rate limit that this machine can't reach: its processors are the limit.
const enough = 100_000

// dynamicConfig is where the server is to behave differently from its defaults, which are made for a cluster.
var dynamicConfig = dynamicconfig.StaticClient{
	// By default each queue is read at most 20 times a second: 50 ms more for every hop of every workflow.
	dynamicconfig.TransferProcessorMaxPollRPS.Key():   5000,
	dynamicconfig.VisibilityProcessorMaxPollRPS.Key(): 1000,
	dynamicconfig.TimerProcessorMaxPollRPS.Key():      1000,

	// With several partitions a task and a poller meet only after being forwarded; one host gains nothing from that.
	dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
	dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,

	// A long poll for a workflow's result misses its end when another event came just before (only one notification is kept for
	// it), and then finds it when it expires: after 20 s.
	dynamicconfig.HistoryLongPollExpirationInterval.Key(): time.Second,

	// Without it fairness keys are accepted and ignored.
	dynamicconfig.MatchingEnableFairness.Key(): true,

	// A load test of 64 clients is to measure the processors, not these limits (1,200 to 3,000 calls a second).
	dynamicconfig.FrontendRPS.Key():                        enough,
	dynamicconfig.FrontendMaxNamespaceRPSPerInstance.Key(): enough,
	dynamicconfig.HistoryRPS.Key():                         enough,
	dynamicconfig.MatchingRPS.Key():                        enough,
	dynamicconfig.FrontendPersistenceMaxQPS.Key():          enough,
	dynamicconfig.HistoryPersistenceMaxQPS.Key():           enough,
	dynamicconfig.MatchingPersistenceMaxQPS.Key():          enough,

	// Lists and counts are limited to 10 a second: a few open pages of the Web UI, or a test that polls, need more.
	dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key(): 1000,

	// Namespaces, and with them new search attributes, are known to the services when they are next read: after 2 s.
	dynamicconfig.NamespaceCacheRefreshInterval.Key(): 500 * time.Millisecond,

	// The workers of these three are the ones that Stop leaves running, against a port that may be another's by then. Without
	// them a closing parent still closes its children, only one by one, and the file keeps the few rows that a crash orphans.
	dynamicconfig.EnableParentClosePolicyWorker.Key(): false,
	dynamicconfig.TaskQueueScannerEnabled.Key():       false,
	dynamicconfig.HistoryScannerEnabled.Key():         false,

	// Asks a host on the internet once a day whether there is a newer version.
	dynamicconfig.EnableServerVersionCheck.Key(): false,
}

func serverOptions(front, http *net.TCPAddr, inner [len(innerServices)]*net.TCPAddr, database *config.SQL, log *logger) []temporal.ServerOption {
	addr := reachable(front).String()
	services := map[string]config.Service{
		// Nobody uses the HTTP front end, but without it each start begins with a warning.
		string(primitives.FrontendService): {RPC: config.RPC{BindOnIP: front.IP.String(), GRPCPort: front.Port, HTTPPort: http.Port}},
	}
	// Static hosts: the services know each other's addresses, so there is no membership protocol with ports of its own.
	hosts := map[primitives.ServiceName]static.Hosts{primitives.FrontendService: static.SingleLocalHost(addr)}
	for i, service := range innerServices {
		services[string(service)] = config.Service{RPC: config.RPC{BindOnIP: inner[i].IP.String(), GRPCPort: inner[i].Port}}
		hosts[service] = static.SingleLocalHost(inner[i].String())
	}
	const disabled = "disabled"
	return []temporal.ServerOption{
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithDynamicConfigClient(dynamicConfig),
		temporal.WithLogger(log),
		temporal.WithConfig(&config.Config{
			Services:     services,
			PublicClient: config.PublicClient{HostPort: addr},
			Persistence: config.Persistence{
				DefaultStore:     storeName,
				VisibilityStore:  storeName,
				NumHistoryShards: shards,
				DataStores:       map[string]config.DataStore{storeName: {SQL: database}},
			},
			ClusterMetadata: &cluster.Config{
				FailoverVersionIncrement: 10,
				MasterClusterName:        clusterName,
				CurrentClusterName:       clusterName,
				ClusterInformation: map[string]cluster.ClusterInformation{
					clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: addr, HTTPAddress: reachable(http).String()},
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
