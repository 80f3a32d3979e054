// Package top shows what the system does at the moment: a terminal view of running deliveries, task queues and failing activities.
// It asks Temporal and the store, not the metrics of processes, so it works from wherever both can be reached.
package top

import (
	"time"

	"github.com/twtr-dev/twtr/internal/inspect"
)

// Snapshot is the state of the system as it was found at one time.
type Snapshot struct {
	At time.Time

	// Running counts the deliveries that have not completed, and Others the running workflows of other types.
	Running, Others int64
	// Deliveries are some of the running ones: those that were asked for.
	Deliveries []Delivery
	// Rate is how many deliveries completed per second since the snapshot before; negative if there was none.
	Rate float64
	// Lags are the times from start to end of the newest completed deliveries, in ascending order.
	Lags []time.Duration
	// Completed are the newest of these, newest first.
	Completed []Completed
	Queues    []Queue
	// Failures are the failing activities of the deliveries shown, and of the longest-running workflows of other types.
	Failures []inspect.Failure
	// Problems are why a part of the snapshot is missing.
	Problems []string
}

// Delivery is one that runs.
type Delivery struct {
	WorkflowID string
	Author     string
	Age        time.Duration
	Delivered  int64
	Total      int64   // about how many feeds there are to write; 0: unknown
	Rate       float64 // feed items per second since the snapshot before; negative if there was none
	State      string
}

// Completed is a delivery that has ended, as its receipt tells.
type Completed struct {
	Author            string
	Took              time.Duration
	Delivered, Failed int64 // feed items; negative: unknown
}

// Queue is a task queue.
type Queue struct {
	Name                  string
	Workflows, Activities QueueKind
}

// QueueKind is a task queue's part for workflow tasks, or for activity tasks.
type QueueKind struct {
	Backlog   int64
	Age       time.Duration // of the oldest task of the backlog
	Pollers   int           // workers that have polled lately
	Throttled bool          // by a rate limit of the task queue
}
