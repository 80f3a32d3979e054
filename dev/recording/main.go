// Command recording runs a program in a terminal and writes what that shows as an animated SVG.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

func main() {
	r := recording{}
	out := flag.String("out", "", "file to write")
	flag.IntVar(&r.width, "width", 90, "columns of the terminal")
	flag.IntVar(&r.height, "height", 26, "lines of the terminal")
	flag.IntVar(&r.frames, "frames", 15, "number of frames")
	flag.DurationVar(&r.every, "every", time.Second, "time between two frames")
	flag.StringVar(&r.keys, "keys", "q", "keys that end the program")
	flag.Parse()
	err := r.run(flag.Args())
	if err == nil {
		err = os.WriteFile(*out, r.svg(), 0o644) //nolint:gosec // for everyone to read
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "recording:", err)
		os.Exit(1)
	}
}

// recording is what a terminal of that size showed, a screen for each frame.
type recording struct {
	width, height, frames int
	every                 time.Duration
	keys                  string

	screens []screen
}

// run runs the program and takes the frames.
func (r *recording) run(args []string) error {
	if len(args) == 0 {
		return errors.New("no program")
	}
	terminal := vt.NewSafeEmulator(r.width, r.height)
	program := exec.CommandContext(context.Background(), args[0], args[1:]...)
	program.Env = append(os.Environ(), "TERM=xterm-256color", "COLORTERM=truecolor")
	tty, err := pty.StartWithSize(program, &pty.Winsize{Cols: uint16(r.width), Rows: uint16(r.height)})
	if err != nil {
		return err
	}
	defer tty.Close()
	go func() { _, _ = io.Copy(terminal, tty) }()
	go func() { _, _ = io.Copy(tty, terminal) }() // what the terminal is asked
	for range r.frames {
		time.Sleep(r.every)
		r.screens = append(r.screens, capture(terminal, r.width, r.height))
	}
	if _, err := io.WriteString(tty, r.keys); err != nil {
		return err
	}
	return program.Wait()
}
