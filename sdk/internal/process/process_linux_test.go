package process

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk/control"
)

// The test's binary is also the host and the plugin that it starts.
const role = "PROCESS_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "host":
		beHost(0)
	case "killing host":
		beHost(syscall.SIGKILL)
	case "plugin":
		bePlugin()
	}
	os.Exit(m.Run())
}

// beHost starts the plugin in a group of its own, with pipes that only this
// process reads, passes on its first line and waits to be killed. The plugin gets
// the signal then, if it is not 0.
func beHost(signal syscall.Signal) {
	runtime.LockOSThread() // the signal comes when the thread ends
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), role+"=plugin", control.Handshake.MagicCookieKey+"="+control.Handshake.MagicCookieValue)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: signal}
	out, err := cmd.StdoutPipe()
	if err != nil {
		os.Exit(1)
	}
	if _, err := cmd.StderrPipe(); err != nil || cmd.Start() != nil {
		os.Exit(1)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	fmt.Println(lines.Text())
	time.Sleep(time.Minute)
	os.Exit(1)
}

// bePlugin starts a process of its own, names both, and ends as a plugin does;
// that nobody reads what it writes then must not keep it from doing so.
func bePlugin() {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		os.Exit(1)
	}
	fmt.Println(os.Getpid(), child.Process.Pid)
	_, orphaned := UntilTold()
	fmt.Fprintln(os.Stderr, "the plugin ends")
	if orphaned {
		KillGroup()
	}
	os.Exit(1)
}

// What a plugin has started goes with it when the host is gone, whether the host
// has the system tell it or not, and also when somebody has stopped the plugin.
func TestNothingOutlivesTheHost(t *testing.T) {
	for _, as := range []string{"host", "killing host"} {
		t.Run(as, func(t *testing.T) { testNothingOutlives(t, as, false) })
		t.Run(as+" of a stopped one", func(t *testing.T) { testNothingOutlives(t, as, true) })
	}
}

func testNothingOutlives(t *testing.T, as string, stopped bool) {
	host := exec.Command(os.Args[0])
	host.Env = append(os.Environ(), role+"="+as)
	out, err := host.StdoutPipe()
	if err == nil {
		err = host.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the host says nothing")
	}
	var pids []int
	for _, field := range strings.Fields(lines.Text()) {
		pid, err := strconv.Atoi(field)
		if err != nil || gone(pid) {
			t.Fatalf("%q does not run: %v", field, err)
		}
		pids = append(pids, pid)
	}
	if len(pids) != 2 {
		t.Fatalf("the host says %q", lines.Text())
	}
	if stopped {
		if err := syscall.Kill(pids[0], syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		for !in(pids[0], "T") {
			time.Sleep(time.Millisecond)
		}
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait() // it was killed
	for end := time.Now().Add(10 * time.Second); !gone(pids[0]) || !gone(pids[1]); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("after 10 s the plugin has ended: %v, what it started: %v", gone(pids[0]), gone(pids[1]))
			for _, pid := range pids {
				_ = syscall.Kill(pid, syscall.SIGKILL) // the one that is left
			}
			return
		}
	}
}

// gone tells whether a process has ended, waited for or not.
func gone(pid int) bool { return in(pid, "") || in(pid, "Z") }

// in tells whether a process is in a state; the empty one is of none.
func in(pid int, state string) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return state == ""
	}
	return state != "" && strings.Contains(string(text), ") "+state+" ")
}
