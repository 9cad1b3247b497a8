package bench

import (
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const text = "4711 (a name) with) S 1 4711 4711 0 -1 4194304 1000 0 0 0 250 125 9 9 20 0 12 0 207767 3133440 386\n"
	if got, err := parseStat([]byte(text)); err != nil || got != 3750*time.Millisecond {
		t.Errorf("%s, %v; want 3.75s", got, err)
	}
	for _, text := range []string{"", "1 (x) S 1 2", "1 (x) S 1 2 3 4 5 6 7 8 9 10 many 12 13 14"} {
		if got, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q reads as %s", text, got)
		}
	}
}

func TestParseStatus(t *testing.T) {
	const text = "Name:\ttributary\nVmPeak:\t  900000 kB\nVmHWM:\t  204800 kB\nVmRSS:\t  102400 kB\nThreads:\t12\n"
	if got, err := parseStatus([]byte(text)); err != nil || got != (memory{now: 100 << 20, peak: 200 << 20}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"", "VmRSS:\t1 kB\n", "VmHWM:\t1 kB\nVmRSS:\t1 MB\n", "VmHWM:\tx kB\nVmRSS:\t1 kB\n"} {
		if got, err := parseStatus([]byte(text)); err == nil {
			t.Errorf("%q reads as %+v", text, got)
		}
	}
}

func TestFilesystemOf(t *testing.T) {
	const mounts = `27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
25 24 0:23 / /dev/shm rw,relatime shared:3 - tmpfs tmpfs rw,size=24684096k
40 27 0:40 / /tmp rw - xfs /dev/vdb rw
41 27 0:41 / /tmp rw - btrfs /dev/vdc rw
broken line
`
	for dir, want := range map[string]string{
		"/var/data": "ext4", "/dev/shm": "tmpfs", "/dev/shm/x": "tmpfs", "/dev/shmx": "ext4", "/tmp/a/b": "btrfs", "/": "ext4",
	} {
		if got := filesystemOf([]byte(mounts), dir); got != want {
			t.Errorf("%s is on %s, want %s", dir, got, want)
		}
	}
	if got := filesystemOf(nil, "/tmp"); got != unknown {
		t.Errorf("without mounts: %s", got)
	}
}

func TestValueOf(t *testing.T) {
	const text = "processor\t: 0\nmodel name\t: Example: 3000\nmodel name\t: Other\n"
	if got := valueOf([]byte(text), "model name"); got != "Example: 3000" {
		t.Errorf("model name = %q", got)
	}
	if got := valueOf([]byte(text), "MemTotal"); got != unknown {
		t.Errorf("MemTotal = %q", got)
	}
}
