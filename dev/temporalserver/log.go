package temporalserver

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// logger gives what the server logs to slog.
//
// The server's own logger ends the process at a fatal message, of which there is one when a service finds its port taken. This
// one keeps the message for Start to return and ends the goroutine: then the start fails, too, and the process goes on.
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

// pageTooLarge is a warning that the Web UI causes, twice, whenever somebody looks at a workflow.
const pageTooLarge = "GetHistory page size is larger than threshold"

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

// With makes the server compute the tags of a component once instead of at every message.
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
	_ = l.to.Handle(ctx, record) // there is nowhere to tell of a log that can't be written
}

func (l *logger) Debug(msg string, tags ...tag.Tag) { l.log(slog.LevelDebug, msg, tags) }
func (l *logger) Info(msg string, tags ...tag.Tag)  { l.log(slog.LevelInfo, msg, tags) }
func (l *logger) Error(msg string, tags ...tag.Tag) { l.log(slog.LevelError, msg, tags) }

func (l *logger) Warn(msg string, tags ...tag.Tag) {
	level := slog.LevelWarn
	if msg == pageTooLarge {
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
