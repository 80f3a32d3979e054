package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/twtr-dev/twtr/workers"
)

// As the Temporal Worker Controller runs them: a worker deployment of its own for each domain.
func TestEachDomainsCurrentVersionTakesItsWork(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite")
	c, err := client.Dial(client.Options{HostPort: s.temporal})
	require.NoError(t, err)
	defer c.Close()
	deploy := func(domain, version string) {
		name := "default/twtr-" + domain
		start(t, t.TempDir(), "twtr", append([]string{
			"TEMPORAL_ADDRESS=" + s.temporal, "TEMPORAL_DEPLOYMENT_NAME=" + name, "TEMPORAL_WORKER_BUILD_ID=" + version,
		}, secretsEnv...), append([]string{"worker", domain}, s.args...)...)
		// Until a version is made current, Temporal leaves the work to the one before, or to unversioned workers.
		s.eventually(name+" "+version+" is made current", func() bool {
			deployment := c.WorkerDeploymentClient().GetHandle(name)
			found, err := deployment.DescribeVersion(t.Context(), client.WorkerDeploymentDescribeVersionOptions{BuildID: version})
			if err != nil || len(found.Info.TaskQueuesInfos) < 2 { // for workflows, and for activities
				return false
			}
			_, err = deployment.SetCurrentVersion(t.Context(), client.WorkerDeploymentSetCurrentVersionOptions{BuildID: version})
			return err == nil
		})
	}
	completedOn := func(id, domain, version string, behavior enums.VersioningBehavior) {
		t.Helper()
		s.eventually(id+" completes", func() bool {
			d, err := c.DescribeWorkflowExecution(t.Context(), id, "")
			require.NoError(t, err)
			run := d.GetWorkflowExecutionInfo()
			if run.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_COMPLETED {
				return false
			}
			require.Equal(t, behavior, run.GetVersioningInfo().GetBehavior(), id)
			require.Equal(t, "default/twtr-"+domain, run.GetVersioningInfo().GetDeploymentVersion().GetDeploymentName(), id)
			require.Equal(t, version, run.GetVersioningInfo().GetDeploymentVersion().GetBuildId(), id)
			return true
		})
	}
	for _, domain := range workers.Domains() {
		deploy(domain, "v1")
	}
	ann, bob := s.signUp("ann"), s.signUp("bob")
	s.follow(bob, "ann")
	first := s.tweet(ann, "by v1")
	completedOn("post-tweet/"+first.ID.String(), "tweets", "v1", enums.VERSIONING_BEHAVIOR_PINNED)
	completedOn("follow/bob/ann", "followers", "v1", enums.VERSIONING_BEHAVIOR_AUTO_UPGRADE)

	deploy("tweets", "v2")
	second := s.tweet(ann, "by v2, delivered by v1 of feeds")
	completedOn("post-tweet/"+second.ID.String(), "tweets", "v2", enums.VERSIONING_BEHAVIOR_PINNED)
	require.Equal(t, []tweet{second, first}, s.feed(bob))
}
