package test

import (
	"encoding/csv"
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	retail = "../configs/examples/retail"
	orders = retail + "/online-retail-invoices.csv"
)

// The numbers that the retail example has to give, exactly.
func checkRetail(t *testing.T, p *product) {
	t.Helper()
	p.counts("events", `event.type == "order-completed"`, 18532)
	p.counts("profiles", "true", 4338)
	p.counts("profiles", "profile.counters.orders >= 10", 391)
	p.counts("profiles", `count("order-completed") >= 10`, 391)
	p.counts("profiles", "profile.counters.revenue > 10000", 104)
	p.counts("events", `event.time >= timestamp("2010-12-01") && event.time < timestamp("2011-12-10")`, 18532)
	if got, want := revenue(t, p), fileRevenue(t); got.Cmp(want) != 0 {
		t.Errorf("total revenue %s, want %s", got.FloatString(18), want.FloatString(18))
	}
}

// revenue sums up the counters of all profiles as decimals.
func revenue(t *testing.T, p *product) *big.Rat {
	t.Helper()
	total, cursor := new(big.Rat), ""
	for {
		body, err := json.Marshal(map[string]any{"filter": "true", "limit": 1000, "cursor": cursor})
		if err != nil {
			t.Fatal(err)
		}
		a := p.api(http.MethodPost, "/api/v1/profiles/query", string(body))
		var page struct {
			Items  []struct{ Counters map[string]json.Number }
			Cursor string
		}
		if err := json.Unmarshal(a.body, &page); err != nil || a.status != http.StatusOK {
			t.Fatalf("query: %d %s", a.status, a.body)
		}
		for _, item := range page.Items {
			amount, ok := new(big.Rat).SetString(item.Counters["revenue"].String())
			if !ok {
				t.Fatalf("revenue = %q", item.Counters["revenue"])
			}
			total.Add(total, amount)
		}
		if page.Cursor == "" {
			return total
		}
		cursor = page.Cursor
	}
}

// fileRevenue is the total of the file, as decimals: 8,911,407.904 and what
// the file's own rounding adds behind it.
func fileRevenue(t *testing.T) *big.Rat {
	t.Helper()
	f, err := os.Open(orders)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	total := new(big.Rat)
	for _, row := range rows[1:] {
		amount, _ := new(big.Rat).SetString(row[3])
		total.Add(total, amount)
	}
	if got := total.FloatString(3); got != "8911407.904" {
		t.Fatalf("the file's total is %s", got)
	}
	return total
}

func TestRetailExampleGivesItsNumbers(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.run("apply", "-f", retail)
	p.run("import", orders, "--mapping", "orders")
	checkRetail(t, p)
	// Once more: nothing changes.
	p.run("import", orders, "--mapping", "orders", "--again")
	checkRetail(t, p)
	// And from the bus alone.
	p.run("store", "rebuild")
	checkRetail(t, p)
	p.stop()
	p.start()
	checkRetail(t, p)
}

// The import goes on while the core is killed under it, three times at random
// moments, and gives exactly the same numbers.
func TestImportSurvivesKills(t *testing.T) {
	t.Parallel()
	for range scale(1, 20) {
		p := launch(t)
		p.run("apply", "-f", retail)
		imported := make(chan string, 1)
		importing := exec.Command(binary, "--data", p.dir, "import", orders, "--mapping", "orders")
		importing.Env = environment()
		importing.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		go func() {
			out, err := importing.CombinedOutput()
			if err != nil {
				out = append(out, err.Error()...)
			}
			imported <- string(out)
		}()
		kills := 0
		for ; kills < 3; kills++ {
			// Somewhere within the import, wherever the process then is.
			time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
			p.kill()
			p.start()
		}
		out := <-imported
		if importing.ProcessState == nil || !importing.ProcessState.Success() {
			// It gave up while the server was away: the same command resumes.
			p.run("import", orders, "--mapping", "orders")
		} else if !strings.Contains(out, "18") {
			t.Errorf("the import said: %s", out)
		}
		checkRetail(t, p)
		p.stop()
		if t.Failed() {
			t.Fatalf("after %d kills", kills)
		}
	}
}
