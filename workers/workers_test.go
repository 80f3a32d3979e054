package workers_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr/workers"
)

func TestEachDomainHasAWorkerAndAnUnknownOneIsRefused(t *testing.T) {
	c, err := client.NewLazyClient(client.Options{})
	require.NoError(t, err)
	defer c.Close()
	for _, domain := range workers.Domains() {
		for _, version := range []worker.WorkerDeploymentVersion{{}, {DeploymentName: "twtr/" + domain, BuildID: "v1"}} {
			_, err := workers.New(c, domain, workers.Options{Version: version, MaxPollers: 2}, workers.Dependencies{})
			require.NoError(t, err)
		}
	}
	_, err = workers.New(c, "likes", workers.Options{}, workers.Dependencies{})
	require.EqualError(t, err, `no domain "likes": there are users, tweets, followers, feeds`)
}
