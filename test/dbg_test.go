package test

import (
	"math/rand/v2"
	"os/exec"
	"syscall"
	"testing"
	"time"
	"encoding/csv"
	"os"
	"strconv"
	"strings"
)

func TestDbg(t *testing.T) {
	for i := range 6 {
		p := launch(t)
		p.run("apply", "-f", retail)
		p.apply(`
kind: flow
id: dbg
spec:
  trigger: {event: order-completed, condition: 'event.properties.total > 1000'}
  nodes: {a: {action: profile/set, config: {set: {traits.big_list: '{{ profile.traits.big_list }}.{{ event.id }}'}}}}
  edges: [start -> a]
`)
		importing := exec.Command(binary, "--data", p.dir, "import", orders, "--mapping", "orders")
		importing.Env = environment()
		importing.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		imported := make(chan struct{})
		go func() { defer close(imported); _ = importing.Run() }()
		for range 2 {
			time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)
			_ = syscall.Kill(p.running("profile"), syscall.SIGKILL)
			time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)
			p.kill()
			p.start()
		}
		<-imported
		p.run("import", orders, "--mapping", "orders")
		time.Sleep(3 * time.Second)
		f, _ := os.Open(orders)
		rows, _ := csv.NewReader(f).ReadAll()
		want := map[string][]string{}
		for _, row := range rows[1:] {
			if total, _ := strconv.ParseFloat(row[3], 64); total > 1000 {
				want[row[2]] = append(want[row[2]], row[0])
			}
		}
		for c, ids := range want {
			pr := p.profile("user:" + c)
			n, _ := at(pr, "traits", "big_orders").(float64)
			list, _ := at(pr, "traits", "big_list").(string)
			got := strings.Split(list, ".")[1:]
			if int(n) != len(ids) || len(got) != len(ids) {
				t.Errorf("%d: %s: n %v, want %d; list %v, want %v", i, c, n, len(ids), got, ids)
			}
		}
		t.Log(i, p.run("deadletters", "list"), metric(t, p, "tributary_flow_runs_journalled_total"))
		p.kill()
	}
}
