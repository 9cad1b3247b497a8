package supervisor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// What runs is what was hashed, also where somebody swaps the file just then.
func TestWhatWasHashedRuns(t *testing.T) {
	r := start(t, func(o *Options) { put(t, filepath.Join(o.Dir, "good"), "") })
	r.registered()
	file := r.info("good").Path
	ctx, stop := context.WithCancel(context.Background())
	var swapping sync.WaitGroup
	swapping.Go(func() {
		one, other := file+".0", file+".1"
		put(t, one, "one")
		put(t, other, "other")
		for i := 0; ctx.Err() == nil; i++ {
			link := fmt.Sprint(file, ".link")
			if os.Link([]string{one, other}[i%2], link) != nil || os.Rename(link, file) != nil {
				return
			}
		}
	})
	defer swapping.Wait()
	defer stop()
	for range 5 {
		if err := r.s.Restart(context.Background(), "good"); err != nil {
			t.Error(err)
			continue
		}
		p := r.info("good")
		runs, err := sumOf(fmt.Sprintf("/proc/%d/exe", p.PID))
		if err != nil || runs != p.SHA256 {
			t.Errorf("%s runs, %v, %s was hashed", runs, err, p.SHA256)
		}
	}
}

// A copy looks like the file that it is of, and goes with its process.
func TestACopyRunsUnderTheNameOfItsFile(t *testing.T) {
	r := start(t, func(o *Options) {
		put(t, filepath.Join(o.Dir, "good"), "")
		write(t, filepath.Join(o.Dir, "script"), "#!/bin/sh\nexec "+wreck+"\n", 0o755)
	})
	r.registered()
	file := filepath.Join(r.dir, "plugins", "good")
	p := r.info("good")
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.PID))
	if err != nil || string(comm) != "good\n" {
		t.Errorf("its process is called %q, %v", comm, err)
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID))
	if err != nil || string(line) != file+"\x00" {
		t.Errorf("its command line is %q, %v", line, err)
	}
	for name, file := range map[string]string{"good": file, "wreck": filepath.Join(r.dir, "plugins", "script")} {
		if answer, err := r.ask(name); err != nil || !slices.Contains(answer.Env, "PLUGIN_FILE="+file) {
			t.Errorf("%s knows %v, %v; want its file %s", name, answer.Env, err, file)
		}
	}
	// Nobody who writes into the file changes what runs.
	if err := os.WriteFile(file, []byte("nonsense"), 0o755); err != nil {
		t.Error(err)
	}
	if _, err := r.ask("good"); err != nil {
		t.Error(err)
	}
	copies, err := filepath.Glob(filepath.Join(r.dir, "work", "binary-*", "*"))
	if err != nil || len(copies) != 2 {
		t.Fatalf("there are the copies %v, %v", copies, err)
	}
	for _, file := range copies {
		if info, err := os.Stat(filepath.Dir(file)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s may be entered by others: %v, %v", filepath.Dir(file), info, err)
		}
	}
	kill(t, p.PID) // its file is no plugin now
	r.until("good", "refused", is(refused))
	if copies, err = filepath.Glob(filepath.Join(r.dir, "work", "binary-*", "*")); err != nil || len(copies) != 1 || !strings.HasSuffix(copies[0], "/script") {
		t.Errorf("the copies %v are left, %v", copies, err)
	}
}
