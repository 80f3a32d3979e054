package cmd

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

func TestTheRateIsReadAgainWhenTheSettingsFileChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "twtr.yaml")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	write("feed.rows_per_second: 2000\n")
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s := NewSettings(flags)
	require.NoError(t, flags.Parse([]string{"--config", file}))
	require.NoError(t, s.Read())
	rate, err := s.feedRate()
	require.NoError(t, err)
	require.Equal(t, 2000, rate)

	type read struct {
		rate int
		err  error
	}
	reads := make(chan read, 100)
	s.watch(func() {
		rate, err := s.feedRate()
		reads <- read{rate, err}
	})
	requireRead := func(is func(read) bool) {
		t.Helper()
		deadline := time.After(10 * time.Second)
		for { // a file that is written anew may be seen empty first
			select {
			case r := <-reads:
				if is(r) {
					return
				}
			case <-deadline:
				t.Fatal("not read again")
			}
		}
	}
	write("feed.rows_per_second: 500\n")
	requireRead(func(r read) bool { return r.err == nil && r.rate == 500 })
	write("feed.rows_per_second: many\n")
	requireRead(func(r read) bool { return r.err != nil })
}
