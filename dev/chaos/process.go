//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// process is one of the system's processes. It may be started, killed and paused again and again.
type process struct {
	name    string // unique in the run; its log has this name
	dir     string
	program string
	args    []string
	env     []string
	ops     string // address

	mu      sync.Mutex
	cmd     *exec.Cmd // nil while it does not run
	done    chan struct{}
	wanted  bool // false: it has been made to end
	restart int  // how often it ended by itself
}

// start runs the process, with more environment variables for this time. It does nothing if the process runs. One that ends by itself is
// started again after a second, as Kubernetes does.
func (p *process) start(env ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
	return p.startLocked(env)
}

func (p *process) startLocked(env []string) error {
	if p.cmd != nil {
		return nil
	}
	log, err := os.OpenFile(filepath.Join(p.dir, p.name+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(context.Background(), p.program, p.args...) // it outlives the fault that starts it
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, log, log
	cmd.Env = append(append(os.Environ(), p.env...), env...)
	// In a process group of its own, so that Ctrl-C reaches only the run, which then ends everything. It ends with the run, however
	// that ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	p.cmd, p.done = cmd, make(chan struct{})
	go p.supervise(cmd, p.done, env)
	return nil
}

func (p *process) supervise(cmd *exec.Cmd, done chan struct{}, env []string) {
	_ = cmd.Wait()
	p.mu.Lock()
	p.cmd = nil
	wanted := p.wanted
	p.mu.Unlock()
	close(done)
	if !wanted {
		return
	}
	time.Sleep(time.Second)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wanted && p.cmd == nil {
		p.restart++
		_ = p.startLocked(env) // it has started before
	}
}

// signal sends a signal, if the process runs.
func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s)
	}
}

// end sends a signal and waits until the process has ended, which it is made to after 30 s.
func (p *process) end(s syscall.Signal) {
	p.mu.Lock()
	p.wanted = false
	done, runs := p.done, p.cmd != nil
	p.mu.Unlock()
	if !runs {
		return
	}
	p.signal(s)
	p.signal(syscall.SIGCONT) // a paused one handles the signal only then
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		p.signal(syscall.SIGKILL)
		<-done
	}
}
