package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// parent is the argument with which the binary starts a product and waits.
const parent = "bench-parent"

func parentOf(dir string) error {
	p, err := startProduct(context.Background(), os.Args[0], dir, "fsync")
	if err != nil {
		return err
	}
	fmt.Println(p.address)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func TestProductDiesWithTheBenchmark(t *testing.T) {
	c := exec.CommandContext(t.Context(), os.Args[0], parent, t.TempDir())
	c.SysProcAttr = dyingWithParent()
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // it was killed, so it fails
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", strings.TrimSpace(address))
		if err != nil {
			return
		}
		_ = conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("the product outlives the benchmark that started it")
		}
	}
}
