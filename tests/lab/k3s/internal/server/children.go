package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Stages of the end: the lower ends first.
const (
	stageClients = iota // everything that talks to the API server
	stageAPI
	stageBase // etcd and containerd
)

// grace is how long the processes of each stage may take to end when they are told to. The API server would wait a
// minute for the pods that watch it; it holds nothing that could be lost.
var grace = [...]time.Duration{stageClients: 10 * time.Second, stageAPI: 2 * time.Second, stageBase: 20 * time.Second}

// child is a process of the server's.
type child struct {
	name  string
	stage int
	cmd   *exec.Cmd
	ended chan struct{}
}

// children runs the server's processes. When one of them ends, the whole server is to end: systemd starts it anew,
// and nothing has to know how to live with a missing part.
type children struct {
	spawn  func(*exec.Cmd) error
	failed chan error

	mutex    sync.Mutex
	running  []*child
	stopping bool
}

func newChildren() *children {
	return &children{spawn: spawner(), failed: make(chan error, 1)}
}

// spawner returns a function that starts processes which the kernel ends when this one dies. Linux ties that to the
// thread which started them, so one thread starts them all and lives as long as the program.
func spawner() func(*exec.Cmd) error {
	type request struct {
		cmd  *exec.Cmd
		done chan error
	}
	requests := make(chan request)
	go func() {
		runtime.LockOSThread()
		for one := range requests {
			one.done <- one.cmd.Start()
		}
	}()
	return func(cmd *exec.Cmd) error {
		if cmd.SysProcAttr == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
		one := request{cmd, make(chan error)}
		requests <- one
		return <-one.done
	}
}

// start runs the program at path and writes what it says to output.
func (c *children) start(path string, stage int, output io.Writer, arguments ...string) error {
	cmd := exec.Command(path, arguments...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Env = append(os.Environ(), "GOGC="+strconv.Itoa(collectorPercent))
	one := &child{name: filepath.Base(path), stage: stage, cmd: cmd, ended: make(chan struct{})}

	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.stopping {
		return errors.New("the server is ending")
	}
	if err := c.spawn(cmd); err != nil {
		return fmt.Errorf("start %s: %w", path, err)
	}
	c.running = append(c.running, one)
	go c.watch(one)
	return nil
}

func (c *children) watch(one *child) {
	err := one.cmd.Wait()
	close(one.ended)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.stopping {
		return
	}
	if err == nil {
		err = errors.New("exit status 0")
	}
	select {
	case c.failed <- fmt.Errorf("%s ended: %w", one.name, err):
	default: // the first failure is the one to tell
	}
}

// stop ends all processes, in the order of their stages.
func (c *children) stop() {
	c.mutex.Lock()
	c.stopping = true
	running := slices.Clone(c.running)
	c.mutex.Unlock()
	for stage := stageClients; stage <= stageBase; stage++ {
		var group sync.WaitGroup
		for _, one := range running {
			if one.stage == stage {
				group.Go(one.end)
			}
		}
		group.Wait()
	}
}

// end asks the process to end, and makes it when it does not.
func (c *child) end() {
	// An error says that the process has ended already, which is what is wanted.
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(context.Background(), grace[c.stage])
	defer cancel()
	select {
	case <-c.ended:
	case <-ctx.Done():
		logf("%s takes its time to end, kill it", c.name)
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
}
