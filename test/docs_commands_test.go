package test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
)

// The commands of the documentation are run, those of a session in one shell,
// and what they print is held against what the page shows.

func TestReadmeAndDocsCommandsRun(t *testing.T) {
	t.Parallel()
	type session struct{ page, name string }
	sessions := map[session][]block{}
	for _, b := range blocks(t) {
		switch {
		case b.action == "run" && b.language == "sh", b.action == "prints", b.action == "file":
			name, _, _ := strings.Cut(b.arg, " ")
			s := session{b.page, name}
			sessions[s] = append(sessions[s], b)
		case b.language == "sh" && !isShown(&b):
			t.Errorf("%s: nothing runs these commands", b.place())
		}
	}
	for s, list := range sessions {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			out := runBlocks(t, list)
			if s.page == "README.md" && !strings.Contains(out, "\n4338\n391\n104\n490\n") {
				t.Errorf("the README's counts are not 4338, 391, 104 and 490:\n%s", out)
			}
		})
	}
	if len(sessions) < 5 {
		t.Errorf("%d sessions: those of the README and of four pages are missing", len(sessions))
	}
}

// preamble ends what a session has left running, as its user would.
const preamble = `trap 'code=$?; trap - EXIT; for p in $(jobs -p); do kill "$p" || true; done; wait || true; exit $code' EXIT
`

// separator begins the output of a block.
const separator = "\x1e"

// endOfFile ends a file in the script of a session.
const endOfFile = "END-OF-FILE"

// runBlocks runs the blocks in one shell, in a directory like the repository's,
// and returns what they print.
func runBlocks(t *testing.T, list []block) string {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	there := func(name string) error { return os.Symlink(filepath.Join(root, name), filepath.Join(dir, name)) }
	if err := errors.Join(
		os.Mkdir(filepath.Join(dir, "bin"), 0o755),
		os.Symlink(binary, filepath.Join(dir, "bin", "tributary")),
		there("configs"), there("go.mod"), there("go.sum"), there("sdk"), there("plugins"),
		// TestMain has built it.
		os.WriteFile(filepath.Join(dir, "Makefile"), []byte("build:\n\t@test -x bin/tributary\n"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	script := preamble
	for _, b := range list {
		switch b.action {
		case "run":
			script += fmt.Sprintf("printf '%s%%s\\n' %q\n", separator, b.place()) + strings.ReplaceAll(b.text, "127.0.0.1:8080", address)
		case "file":
			_, path, _ := strings.Cut(b.arg, " ")
			script += fmt.Sprintf("cat > %q <<'%s'\n%s%[2]s\n", path, endOfFile, b.text)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	env := append(goCaches(t), "TRIBUTARY_HTTP_ADDR="+address, "HOME="+dir)
	cmd := shell(ctx, dir, script, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	out := stdout.String()
	printed := strings.Split(out, separator)
	if err != nil {
		place, _, _ := strings.Cut(printed[len(printed)-1], "\n")
		t.Fatalf("the block at %s: %v\n%s\n%s", place, err, out, &stderr)
	}
	n := 0
	for _, b := range list {
		if b.action == "run" {
			n++
		} else if b.action == "prints" && (n == 0 || !prints(&b, printed[n])) {
			t.Errorf("%s: the commands before it print something else:\n%s", b.place(), printed[n])
		}
	}
	return out
}

// goCaches are where Go keeps modules and what it has built, which it would
// look for in the session's own home.
func goCaches(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules, built, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return []string{"GOMODCACHE=" + modules, "GOCACHE=" + built}
}

// shell is a script in a process group of its own, which ends with the context.
func shell(ctx context.Context, dir, script string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = dir, append(environment(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

var blanks = regexp.MustCompile(`[ \t]+`)

// prints tells whether an output has what a block shows: JSON wherever it
// stands, text line by line; white space does not count.
func prints(b *block, out string) bool {
	if b.language == "json" {
		return pattern(squeeze(b.text), "").MatchString(squeeze(out))
	}
	trim := func(s string) string {
		lines := strings.Split(blanks.ReplaceAllString(s, " "), "\n")
		for i := range lines {
			lines[i] = strings.TrimSpace(lines[i])
		}
		return strings.Join(lines, "\n")
	}
	return pattern(strings.TrimSpace(trim(b.text)), "(?m)").MatchString(trim(out))
}

func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
}

// pattern matches a text in which … is anything. With flags it matches whole
// lines, or the whole.
func pattern(text, flags string) *regexp.Regexp {
	parts := strings.Split(text, "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	expression := strings.Join(parts, "(?s:.*?)")
	if flags != "" {
		expression = flags + "^" + expression + "$"
	}
	return regexp.MustCompile(expression)
}

// What make demo runs: it shows the numbers, stays up, ends with Ctrl-C and
// leaves nothing behind.
func TestDemo(t *testing.T) {
	t.Parallel()
	script, err := filepath.Abs(retail + "/demo.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := shell(ctx, dir, "exec "+script+" "+binary, "TMPDIR="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	out := ""
	for lines := bufio.NewScanner(output); lines.Scan(); {
		out += lines.Text() + "\n"
		if strings.HasSuffix(out, " tail\n") {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) // that it is still there, Wait tells
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the demo: %v\n%s\n%s", err, out, &stderr)
	}
	// Where it is to be over at once, it ends by itself.
	once := shell(ctx, dir, "exec "+script+" "+binary, "TMPDIR="+dir, "TRIBUTARY_DEMO_ONCE=1")
	if text, err := once.CombinedOutput(); err != nil || !strings.HasSuffix(string(text), " tail\n") {
		t.Errorf("the demo, once: %v\n%s", err, text)
	}
	for _, want := range []string{
		"4 created", "18,532 accepted, 0 known already, 0 failed", "\n4338\n", "\n391\n", "\n104\n", "\n490\n", "orders: 34", "\n  " + binary + " send page-view --user 17850 --data " + dir, "\n  " + binary + " --data " + dir,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the demo does not print %q:\n%s", want, out)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the demo leaves %v behind: %v", left, err)
	}
}
