package servers

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAHomeIsAssembledOnceByAllWhoWantIt(t *testing.T) {
	home := t.TempDir() + "/home"
	var made atomic.Int32
	assemble := func(dir string) error {
		made.Add(1)
		time.Sleep(50 * time.Millisecond)
		return os.WriteFile(dir+"/part", nil, 0o600)
	}
	// What one that died has left is not taken over.
	if err := os.MkdirAll(home+".unfinished/left", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := assembleOnce(home, func(string) error { return errors.New("no Maven") }); err == nil || err.Error() != "no Maven" {
		t.Errorf("it cannot be assembled: %v", err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if got, err := assembleOnce(home, assemble); err != nil || got != home {
				t.Errorf("%q, %v", got, err)
			} else if _, err := os.Stat(home + "/part"); err != nil {
				t.Errorf("before it is whole: %v", err)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("assembled %d times", made.Load())
	}
	if _, err := os.Stat(home + "/left"); err == nil {
		t.Error("it holds what one that died has left")
	}
}
