package cmd

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"time"
)

// reloadEvery is how often the settings file is read. Polling notices a change however it is made: written in place,
// renamed over the old file as editors do, or by a symbolic link as in Kubernetes; and it can't run out of inotify watches.
const reloadEvery = time.Second

// reload reads the settings file again whenever it changes, and calls apply with the new configuration, until ctx ends. A
// file that is missing, empty or invalid changes nothing. Without a settings file it returns at once.
func (s *Settings) reload(ctx context.Context, every time.Duration, log *slog.Logger, apply func(Config)) {
	if s.content == nil {
		return
	}
	inForce := s
	watchFile(ctx, s.viper.ConfigFileUsed(), s.content, every, func(content []byte, err error) {
		var fresh *Settings
		var config Config
		if err == nil {
			fresh, err = s.reread(content)
		}
		if err == nil {
			config, err = fresh.Parse()
		}
		if err != nil {
			log.ErrorContext(ctx, "settings file changed but is invalid; keeping the old settings", "error", err)
			return
		}
		same := true
		for _, row := range settings {
			value := fresh.get(row.key)
			if value == inForce.get(row.key) {
				continue
			}
			same = false
			if row.key == rowsPerSecond {
				log.InfoContext(ctx, "setting changed", "setting", row.key, "value", value)
			} else { // whose value may be a secret
				log.WarnContext(ctx, "setting changed; restart to apply it", "setting", row.key)
			}
		}
		if same {
			log.InfoContext(ctx, "settings file changed; no setting in force differs")
		}
		inForce = fresh
		apply(config)
	})
}

// watchFile calls changed with the file's content whenever it differs from the last one, until ctx ends. A new content
// counts when it is read twice in a row, because a file that is being written is incomplete. A file that can't be read or
// is empty is reported once, as an error.
func watchFile(ctx context.Context, file string, content []byte, every time.Duration, changed func([]byte, error)) {
	type state struct{ content, problem string }
	reported := state{content: string(content)}
	last := reported
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
		content, err := os.ReadFile(file)
		if err == nil && len(bytes.TrimSpace(content)) == 0 {
			err = errors.New(file + " is empty")
		}
		now := state{content: string(content)}
		if err != nil {
			now = state{problem: err.Error()}
		}
		if now == last && now != reported {
			reported = now
			changed(content, err)
		}
		last = now
	}
}
