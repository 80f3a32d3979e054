package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/twtr-dev/twtr"
)

const (
	// refusedTries is how often a row that the store refuses is tried alone, after the tries together with others, and with
	// refusedPause in between: the refused rows of a page must not use up its window.
	refusedTries = 2
	refusedPause = 50 * time.Millisecond
	// maxRefused is the number of rows of one page up to which the rows are at fault. If there are more, or the store takes no row
	// at all, the store is: then the activity fails, and is retried. A page of a single row proves nothing either way, so from the
	// attempt refusedAttempts on, some 10 s after the first, the store may refuse all rows of a page.
	maxRefused      = 10
	refusedAttempts = 10
)

// isRefusal reports whether the store is available and does not take what is written: a row that is too large, for example.
// Everything else is an outage, and passes.
func isRefusal(err error) bool {
	return err != nil && twtr.ErrorCode(err) != twtr.Unavailable && !errors.Is(err, errDeleted) &&
		!errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) && !errors.Is(err, errStopping)
}

// accepted has write write all rows. If the store refuses them it writes each half, and so on, so that one row that the store does
// not take keeps no other from being written. It returns the refused rows, and logs each as name tells it.
func accepted[Row any](ctx context.Context, rows []Row, name func(Row) string, write func(context.Context, []Row) error) ([]Row, error) {
	refused, err := halve(ctx, rows, write, nil)
	if err != nil || len(refused) == 0 {
		return nil, err
	}
	if len(refused) > maxRefused || len(refused) == len(rows) && activity.GetInfo(ctx).Attempt < refusedAttempts {
		return nil, refused[0].err
	}
	names := make([]Row, len(refused))
	for i, r := range refused {
		names[i] = r.row
		logRefused(ctx, name(r.row), r.err)
	}
	return names, nil
}

func logRefused(ctx context.Context, row string, err error) {
	activity.GetLogger(ctx).Error("the store refuses a row; others are written", "row", row, "error", err)
}

// feedName names a row that a walk writes.
func feedName(reader string) string { return "the feed of " + reader }

// refusal is a row that the store does not take, and why.
type refusal[Row any] struct {
	row Row
	err error
}

// halve appends the rows that are refused to those before. It stops when they are too many.
func halve[Row any](ctx context.Context, rows []Row, write func(context.Context, []Row) error, refused []refusal[Row]) ([]refusal[Row], error) {
	err := write(ctx, rows)
	for try := 1; isRefusal(err) && len(rows) == 1; try++ {
		if try == refusedTries {
			return append(refused, refusal[Row]{rows[0], err}), nil
		}
		select {
		case <-time.After(refusedPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		err = write(ctx, rows)
	}
	if !isRefusal(err) || len(rows) == 0 {
		return refused, err
	}
	for _, half := range [][]Row{rows[:len(rows)/2], rows[len(rows)/2:]} {
		if refused, err = halve(ctx, half, write, refused); err != nil || len(refused) > maxRefused {
			return refused, err
		}
	}
	return refused, nil
}
