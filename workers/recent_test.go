package workers

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

func TestABucketIsFoundInTheIDOfAWorkflow(t *testing.T) {
	for id, want := range map[string]activities.Bucket{
		"post-tweet/1":              {},
		"follow/bob/ann":            {Username: "ann", Bucket: twtr.FollowerBucket("bob")},
		"count-followers/ann/7":     {Username: "ann", Bucket: 7},
		"count-followers/ann/seven": {Username: "ann"},
	} {
		got, ok := bucketOf(id)
		require.Equal(t, want, got, id)
		require.Equal(t, want.Username != "" && id != "count-followers/ann/seven", ok, id)
	}
}
