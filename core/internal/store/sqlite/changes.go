package sqlite

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

// errEnough ends the reading of rows.
var errEnough = errors.New("enough")

// ProfileChanges implements [store.Reader]. Changes stand in the rows of the events
// that made them, and the others in a table of their own.
func (s *Store) ProfileChanges(ctx context.Context, q store.ChangesQuery) (page store.Page, err error) {
	limit := q.Limit
	if limit == 0 {
		limit = store.DefaultLimit
	}
	switch {
	case limit < 0 || limit > store.MaxLimit:
		return page, fmt.Errorf("%w: limit is %d, want 1 to %d", store.ErrInvalid, q.Limit, store.MaxLimit)
	case len(q.Profiles) == 0:
		return page, nil
	}
	var after *changePlace
	if q.Cursor != "" {
		if after, err = parseChangePlace(q.Cursor); err != nil {
			return page, err
		}
	}
	query, args := changesSQL(&q, after)
	var last changePlace
	err = s.rows(ctx, "query changes", query, args, func(rows *sql.Rows) error {
		at, doc, err := readChange(rows)
		if err != nil {
			return err
		}
		wanted, err := q.About(&doc)
		if err != nil || !wanted {
			return err
		}
		if len(page.Documents) == limit {
			page.Cursor = last.text()
			return errEnough
		}
		last = at
		page.Documents = append(page.Documents, doc)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return store.Page{}, err
	}
	return page, nil
}

// readChange reads a row, which is an event's where it has a source.
func readChange(rows *sql.Rows) (at changePlace, doc store.Document, err error) {
	var kind sql.NullString
	var happened string
	var text []byte
	if err := rows.Scan(&at.received, &at.revision, &at.profile, &at.id, &at.source, &kind, &happened, &text); err != nil {
		return at, doc, err
	}
	if at.source == "" {
		doc, err = store.NewDocument(store.Changes, text)
		return at, doc, err
	}
	doc, err = store.NewChange(&record.ChangeEntry{
		Profile: at.profile, Revision: uint64(at.revision), Time: happened, Received: at.received,
		By: record.AuthorOfEvent(at.id, kind.String, at.source), Changes: text,
	})
	return at, doc, err
}

// changesSQL gives the query of a page, without its limit: what is about other places
// is passed over row by row. Of changes received at the same time those of the first id
// are the later ones: what made two profiles one happened at the other first.
func changesSQL(q *store.ChangesQuery, after *changePlace) (string, []any) {
	where := "profile IN (?" + strings.Repeat(", ?", len(q.Profiles)-1) + ")"
	args := []any{q.Profiles[0]} // which is the own one
	for _, id := range q.Profiles {
		args = append(args, id)
	}
	if !q.From.IsZero() {
		where, args = where+" AND received >= ?", append(args, sdk.FormatTime(q.From))
	}
	if !q.Before.IsZero() {
		where, args = where+" AND received < ?", append(args, sdk.FormatTime(q.Before))
	}
	all := append(args[:len(args):len(args)], args...)
	beyond := "1"
	if after != nil {
		beyond = "(received, own, revision, profile, id, source) < (?, ?, ?, ?, ?, ?)"
		all = append(all, after.received, after.profile == q.Profiles[0], after.revision, after.profile, after.id, after.source)
	}
	return fmt.Sprintf(`SELECT received, revision, profile, id, source, type, time, text FROM (
	SELECT profile = ? AS own, received, revision, profile, id, source, type, time, changes AS text FROM events WHERE %s AND changes IS NOT NULL
	UNION ALL
	SELECT profile = ?, received, version, profile, id, '', NULL, time, body FROM changes WHERE %[1]s
) WHERE %s ORDER BY received DESC, own DESC, revision DESC, profile DESC, id DESC, source DESC`, where, beyond), all
}

// A changePlace is the place of a change among others.
type changePlace struct {
	received string
	revision int64
	profile  string
	id       string
	source   string // of an event
}

func (p *changePlace) text() string {
	return base64.RawURLEncoding.EncodeToString(sdk.AppendValue(nil, []any{string(store.Changes), p.received, p.revision, p.profile, p.id, p.source}))
}

func parseChangePlace(text string) (*changePlace, error) {
	wrong := fmt.Errorf("%w: the cursor is none of this query: use the one of the page before, or none", store.ErrInvalid)
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, wrong
	}
	v, err := sdk.ParseValue(raw)
	list, ok := v.([]any)
	if err != nil || !ok || len(list) != 6 || list[0] != string(store.Changes) {
		return nil, wrong
	}
	p := &changePlace{}
	var fits [5]bool
	p.received, fits[0] = list[1].(string)
	p.revision, fits[1] = list[2].(int64)
	p.profile, fits[2] = list[3].(string)
	p.id, fits[3] = list[4].(string)
	p.source, fits[4] = list[5].(string)
	if fits != [5]bool{true, true, true, true, true} || p.text() != text {
		return nil, wrong
	}
	return p, nil
}
