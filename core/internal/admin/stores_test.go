package admin_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/admin"
	"github.com/tributary-bus/tributary/core/internal/querystore"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk/client"
)

// fakeStores are stores that are as a test says: the real ones are tested with the
// server.
type fakeStores struct {
	rebuild func(ctx context.Context, progress func(done, total uint64)) error
	refuse  error
	asked   string
}

type rebuilding func(ctx context.Context, progress func(done, total uint64)) error

func (f rebuilding) Wait(ctx context.Context, progress func(done, total uint64)) error {
	return f(ctx, progress)
}

func (f *fakeStores) Status(context.Context) client.StoreStatus {
	return client.StoreStatus{Answers: &client.StoreAt{Store: "sqlite", Place: "store.db"}}
}

func (f *fakeStores) Rebuild(_ context.Context, what client.Rebuild) (admin.Rebuilding, error) {
	f.asked = fmt.Sprint(what.To, what.Settings)
	return rebuilding(f.rebuild), f.refuse
}

func (f *fakeStores) Compare(_ context.Context, sample int) (client.StoreComparison, error) {
	f.asked = fmt.Sprint(sample)
	return client.StoreComparison{}, f.refuse
}

func (f *fakeStores) Drop(_ context.Context, force bool) (client.StoreAt, error) {
	f.asked = fmt.Sprint(force)
	return client.StoreAt{Store: "sqlite", Place: "old.db"}, f.refuse
}

func TestStores(t *testing.T) {
	r := newRig(t)
	r.expect("GET", "/api/v1/store", "", 200, `{"answers":{"store":"sqlite","place":"store.db"}}`)
	r.stores.rebuild = func(context.Context, func(done, total uint64)) error { return nil }
	r.call("POST", "/api/v1/store/rebuild", `{"to":"sqlite","settings":{"store.sqlite.path":"/x"}}`)
	if want := "sqlitemap[store.sqlite.path:/x]"; r.stores.asked != want {
		t.Errorf("asked for is %s, want %s", r.stores.asked, want)
	}
	r.refuses("POST", "/api/v1/store/rebuild", `{"too":"sqlite"}`, 400, "invalid", "no such field")
	if r.call("POST", "/api/v1/store/compare", ""); r.stores.asked != "1000" {
		t.Errorf("a sample of %s", r.stores.asked)
	}
	if r.call("POST", "/api/v1/store/compare", `{"sample":0}`); r.stores.asked != "0" {
		t.Errorf("a sample of %s", r.stores.asked)
	}
	r.refuses("POST", "/api/v1/store/compare", `{"sample":-1}`, 400, "invalid", "want 0 to")
	r.expect("POST", "/api/v1/store/drop", "", 200, `{"store":"sqlite","place":"old.db"}`)
	if r.call("POST", "/api/v1/store/drop", `{"force":true}`); r.stores.asked != "true" {
		t.Error("force is not told")
	}
	r.stores.refuse = fmt.Errorf("%w: sqlite x is being filled", querystore.ErrUnderWay)
	for _, path := range []string{"rebuild", "compare", "drop"} {
		r.refuses("POST", "/api/v1/store/"+path, "", 409, "conflict", "sqlite x is being filled")
	}
	r.stores.refuse = fmt.Errorf("compare: %w", store.ErrNotFound)
	if status, _, text := r.call("POST", "/api/v1/store/compare", ""); status != 404 || !strings.Contains(text, "not_found") {
		t.Errorf("%d %s", status, text)
	}
}
