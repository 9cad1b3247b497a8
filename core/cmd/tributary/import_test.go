package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const goodRows = `InvoiceNo,InvoiceDate,CustomerID,TotalPrice
1,2010-12-01,17850,139.12
2,2010-12-02,17850,0.1
3,2010-12-03,17850,0.2
`

const mixedRows = "\ufeff" + `InvoiceNo,InvoiceDate,CustomerID,TotalPrice
1,2010-12-01,17850,10
2,2010-12-02,17850,much
3,2010-12-03,17850
4,sometime,17850,1
"5",2010-12-04,"17
850",1
6,2010-12-05,17851,20
`

func TestImport(t *testing.T) {
	dir := t.TempDir()
	run(t, dir)
	good, mixed := file(t, "good.csv", goodRows), file(t, "mixed.csv", mixedRows)
	fails(t, dir, exitFailed, "there is no import mapping", "import", good)
	must(t, dir, "apply", "-f", retail+"/retail.yaml")
	fails(t, dir, exitFailed, `there is no import "nothing"`, "import", good, "--mapping", "nothing")
	fails(t, dir, exitFailed, "no such file", "import", dir+"/none.csv")
	fails(t, dir, exitFailed, `say --delimiter ";"`, "import", file(t, "other.csv", "a;b\n1;2\n"))

	contains(t, "dry run", must(t, dir, "import", good, "--dry-run"),
		`line 2: {"id":"1","ids":{"user":"17850"},"properties":{"total":139.12}`, "dry run, nothing was stored: 3 rows, 0 would fail")
	if got := must(t, dir, "profiles", "count"); got != "0\n" {
		t.Errorf("%s profiles after a dry run", got)
	}
	contains(t, "import", must(t, dir, "import", good), "imported 3 rows of ", "3 accepted, 0 known already, 0 failed")
	// What it says is searchable is.
	if got := must(t, dir, "profiles", "count", "profile.counters.orders == 3 && profile.counters.revenue == 139.42"); got != "1\n" {
		t.Errorf("%s profiles have three orders of 139.42", got)
	}
	contains(t, "the profile", must(t, dir, "profiles", "get", "user:17850"), `first_seen: "2010-12-01T00:00:00.000Z"`)
	contains(t, "the same file", must(t, dir, "import", good), "was already imported on ", ": 3 rows; --again imports it once more")
	contains(t, "--again", must(t, dir, "import", good, "--again"), "0 accepted, 3 known already, 0 failed")

	code, stdout, stderr := cli(t, dir, "import", mixed, "--dry-run")
	if code != exitFailed {
		t.Errorf("a dry run with bad rows ends with %d", code)
	}
	contains(t, "dry run", stdout, "6 rows, 3 would fail")
	contains(t, "dry run", stderr, `mixed.csv:3: column TotalPrice, value "much": `, "mixed.csv:4: has 3 fields, the header has 4", `mixed.csv:5: column InvoiceDate, value "sometime": `)
	code, stdout, stderr = cli(t, dir, "import", mixed)
	if code != exitFailed {
		t.Errorf("an import with bad rows ends with %d", code)
	}
	contains(t, "import", stdout, "imported 6 rows of ", "2 accepted, 1 known already, 3 failed")
	contains(t, "import", stderr, "3 rows failed; `tributary deadletters list --origin import` says where and why")
	code, stdout, stderr = cli(t, dir, "import", mixed)
	if code != exitFailed || !strings.Contains(stderr, "3 rows failed; ") {
		t.Errorf("given again, it ends with %d and says %s", code, stderr)
	}
	contains(t, "the same file", stdout, "was already imported on ")
	letters := must(t, dir, "deadletters", "list", "--origin", "import")
	contains(t, "dead letters", letters, `mixed.csv:3: column TotalPrice, value "much": `, "mixed.csv:4: has 3 fields", `mixed.csv:5: column InvoiceDate, value "sometime": `)
	contains(t, "dead letter", must(t, dir, "deadletters", "show", "1"), "line: 3\n", `TotalPrice: much`, "mapping: orders\n")
	fails(t, dir, exitFailed, "there is no dead letter 99", "deadletters", "show", "99")
}

// What a file would lack is told before anything is sent, and what is not valid
// is counted.
func TestImportOfAFileThatDoesNotFit(t *testing.T) {
	dir := t.TempDir()
	run(t, dir)
	must(t, dir, "apply", "-f", retail+"/retail.yaml")
	other := file(t, "other.csv", "InvoiceNo,InvoiceDate,CustomerID,Totalprice\n1,2010-12-01,17850,5\n")
	for _, args := range [][]string{{"import", other}, {"import", other, "--dry-run"}} {
		fails(t, dir, exitFailed, `other.csv: there is no column "TotalPrice", which event.properties.total of import orders reads; did you mean "Totalprice"?`, args...)
	}
	empty := file(t, "empty.csv", "InvoiceNo,InvoiceDate,CustomerID,TotalPrice\n1,2010-12-01,17850,\n2,2010-12-01,17850,5\n")
	code, stdout, stderr := cli(t, dir, "import", empty, "--dry-run")
	if code != exitDone {
		t.Errorf("a dry run ends with %d", code)
	}
	contains(t, "dry run", stdout, "2 rows, 0 would fail\n  1 event would not be valid")
	contains(t, "dry run", stderr, "empty.csv:2: not valid: properties: missing property 'total'")
	contains(t, "import", must(t, dir, "import", empty), "2 accepted, 0 known already, 0 failed\n  1 event is not valid: ")
	if got := must(t, dir, "profiles", "count", "profile.counters.revenue == 5"); got != "1\n" {
		t.Errorf("%s profiles have a revenue of 5", got)
	}
}

// manyRows is a file with so many rows for so many customers, and the revenue
// of each of them.
func manyRows(rows, customers int) string {
	var b strings.Builder
	b.WriteString("InvoiceNo,InvoiceDate,CustomerID,TotalPrice\n")
	for i := range rows {
		fmt.Fprintf(&b, "%d,2010-12-01,%d,%d.5\n", i, 1+i%customers, i%7)
	}
	return b.String()
}

func TestImportGoesOnAfterKills(t *testing.T) {
	dir := t.TempDir()
	server := run(t, dir)
	must(t, dir, "apply", "-f", retail+"/retail.yaml")
	const rows, customers = 20_000, 100
	path := file(t, "many.csv", manyRows(rows, customers))

	start := func() (*exec.Cmd, *tail) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		t.Cleanup(cancel)
		c, out := command(ctx, dir, "import", path), &tail{}
		c.Stdout, c.Stderr = out, out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c, out
	}
	// The command is killed, and given again; then the server is.
	first, _ := start()
	waitForRows(t, dir, path, 1)
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// It was killed, so it fails.
	_ = first.Wait()
	second, said := start()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(said.String(), "going on at row"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the second command says\n%s", said)
		}
	}
	server.kill()
	run(t, dir)
	if err := second.Wait(); err != nil {
		t.Fatalf("import: %v\n%s", err, said)
	}
	out := said.String()
	contains(t, "import", out, "going on at row ", "trying again", "0 failed")

	if got := must(t, dir, "profiles", "count", fmt.Sprintf("profile.counters.orders == %d", rows/customers)); got != fmt.Sprintln(customers) {
		t.Errorf("%s of %d customers have all of their orders, each once", strings.TrimSpace(got), customers)
	}
	if got := must(t, dir, "profiles", "count"); got != fmt.Sprintln(customers) {
		t.Errorf("%s profiles, want %d", strings.TrimSpace(got), customers)
	}
	contains(t, "the same file", must(t, dir, "import", path), "already imported")
}

// waitForRows waits until the server wants a row after so many of the file that
// is imported.
func waitForRows(t *testing.T, dir, path string, least uint64) {
	t.Helper()
	g := &globals{data: dir}
	to, err := g.connect()
	if err != nil {
		t.Fatal(err)
	}
	input, err := openInput(context.Background(), path, ',')
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		at, err := to.ImportProgress(context.Background(), "orders", input.hash)
		if err != nil {
			t.Fatal(err)
		}
		if at.Finished {
			t.Fatal("the import was faster than its killer; give it more rows")
		}
		if at.Next > least {
			return
		}
	}
	t.Fatal("the import does not begin")
}
