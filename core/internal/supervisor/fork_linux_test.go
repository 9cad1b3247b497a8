package supervisor

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A file that somebody has open for writing is run as soon as it is closed.
func TestABusyFileIsRunWhenItIsClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "true")
	text, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(path).Run(); err == nil {
		t.Fatal("a file that is open for writing runs: there is nothing to test")
	}
	closed := time.AfterFunc(20*time.Millisecond, func() { _ = f.Close() })
	defer closed.Stop()
	cmd := exec.Command(path)
	if err := startUnlessBusy(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}
