package temporalserver

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// logger passes what the server logs to slog.
//
// The server's default logger ends the process at a fatal message, e.g. when a service finds its port in use. This one keeps the
// message for Start to return and ends the goroutine: the start fails, and the process continues.
type logger struct {
	to    slog.Handler
	level slog.Leveler
	muted *atomic.Bool
	fatal *atomic.Pointer[error]
}

var (
	_ log.Logger     = (*logger)(nil)
	_ log.WithLogger = (*logger)(nil)
)

// harmless are warnings that say nothing about this server.
var harmless = map[string]bool{
	// Twice whenever the Web UI shows a workflow.
	"GetHistory page size is larger than threshold": true,
	// At each start. The HTTP API is off on purpose, and nothing here uses Nexus.
	"HTTP API port has not been set. Nexus HTTP endpoints will not be available. To enable Nexus, follow these instructions: " +
		"https://github.com/temporalio/temporal/blob/main/docs/architecture/nexus.md#enabling-nexus.": true,
}

// notAcquired is the error of a shard that the server is still acquiring. A queue that is read at that moment logs it as an error,
// and is read again.
const notAcquired = "shard status unknown"

func newLogger(to *slog.Logger, level slog.Leveler) *logger {
	if to == nil {
		to = slog.New(slog.DiscardHandler)
	}
	if level == nil {
		level = slog.LevelWarn
	}
	return &logger{to: to.Handler(), level: level, muted: new(atomic.Bool), fatal: new(atomic.Pointer[error])}
}

func (l *logger) mute() { l.muted.Store(true) }

// With lets the server convert the tags of a component once instead of with every message.
func (l *logger) With(tags ...tag.Tag) log.Logger {
	with := *l
	with.to = l.to.WithAttrs(attrs(tags))
	return &with
}

func (l *logger) log(level slog.Level, msg string, tags []tag.Tag) {
	ctx := context.Background()
	if l.muted.Load() || level < l.level.Level() || !l.to.Enabled(ctx, level) {
		return
	}
	record := slog.NewRecord(time.Now(), level, msg, 0)
	record.AddAttrs(attrs(tags)...)
	_ = l.to.Handle(ctx, record) // there is nowhere to report that the log cannot be written
}

func (l *logger) Debug(msg string, tags ...tag.Tag) { l.log(slog.LevelDebug, msg, tags) }
func (l *logger) Info(msg string, tags ...tag.Tag)  { l.log(slog.LevelInfo, msg, tags) }

func (l *logger) Error(msg string, tags ...tag.Tag) {
	level := slog.LevelError
	if slices.ContainsFunc(tags, func(t tag.Tag) bool { return t.Value() == notAcquired }) {
		level = slog.LevelDebug
	}
	l.log(level, msg, tags)
}

func (l *logger) Warn(msg string, tags ...tag.Tag) {
	level := slog.LevelWarn
	if harmless[msg] {
		level = slog.LevelDebug
	}
	l.log(level, msg, tags)
}

// DPanic panics only in the server's own tests.
func (l *logger) DPanic(msg string, tags ...tag.Tag) { l.log(slog.LevelError, msg, tags) }

func (l *logger) Panic(msg string, tags ...tag.Tag) {
	l.log(slog.LevelError, msg, tags)
	panic(msg)
}

func (l *logger) Fatal(msg string, tags ...tag.Tag) {
	l.log(slog.LevelError, msg, tags)
	err := fmt.Errorf("%s %v", msg, attrs(tags))
	l.fatal.CompareAndSwap(nil, &err)
	runtime.Goexit()
}

func attrs(tags []tag.Tag) []slog.Attr {
	attrs := make([]slog.Attr, len(tags))
	for i, t := range tags {
		attrs[i] = slog.Any(t.Key(), t.Value())
	}
	return attrs
}
