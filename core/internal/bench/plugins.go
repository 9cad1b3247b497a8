package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// plugins measures the processes of the built-in plugins.
func plugins(ctx context.Context, r *run) error {
	r.setting = "fsync"
	var took []float64
	var anonymous int64
	for range starts {
		err := r.withProduct(ctx, r.setting, func(p *product) error {
			after, list, err := p.pluginsUp(ctx)
			if err != nil {
				return err
			}
			took = append(took, after.Seconds())
			if err := wait(ctx, min(calm, 20*r.duration(calm))); err != nil {
				return err
			}
			for _, pid := range list {
				used, err := anonymousOf(pid)
				if err != nil {
					return err
				}
				anonymous = max(anonymous, used)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	r.figure("all running, from the start of the core", median(took), "s", atMost(1))
	r.figure("anonymous memory of the largest", megabytes(anonymous), "MB", atMost(12))
	return nil
}

// pluginsUp waits until all built-in plugins run; it tells when, since the product
// was started, and their processes.
func (p *product) pluginsUp(ctx context.Context) (time.Duration, []int, error) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		list, err := p.client.Plugins(ctx)
		if err != nil {
			return 0, nil, fmt.Errorf("ask for the plugins: %w", err)
		}
		var pids []int
		for _, one := range list {
			if one.State == "running" {
				pids = append(pids, one.PID)
			}
		}
		if len(pids) == len(list) && len(list) > 0 {
			return time.Since(p.began), pids, nil
		}
		if err := wait(ctx, 2*time.Millisecond); err != nil {
			return 0, nil, fmt.Errorf("only %d of %d plugins run: %w", len(pids), len(list), err)
		}
	}
}

// metric reads one of the product's metrics.
func (p *product) metric(ctx context.Context, name string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+p.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("read the metrics: %w", err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, errors.Join(fmt.Errorf("no metric %s", name), lines.Err())
}
