package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/querystore"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/elastic"
	"github.com/tributary-bus/tributary/core/internal/store/sqlite"
	"github.com/tributary-bus/tributary/sdk/client"
)

// The kinds of store: which one the settings name, and how each is opened.
const (
	storeSQLite        = "sqlite"
	storeElasticsearch = "elasticsearch"
)

var storeKinds = []string{storeElasticsearch, storeSQLite}

// standardFile is the query store in the data directory.
const standardFile = "store.db"

// wishedStore is the store that the settings name.
func wishedStore(c *config.Config) querystore.Target {
	if len(c.Store.Elasticsearch.URLs) > 0 {
		return elasticTarget(c)
	}
	return sqliteTarget(c)
}

// namedStore is the store that a command names: by its kind, with the settings that it
// gives, over those of the server or, where these do not tell, those of a store of the
// kind that is known.
func namedStore(c *config.Config, what client.Rebuild, known []querystore.Target) (querystore.Target, error) {
	var none querystore.Target
	if !slices.Contains(storeKinds, what.To) {
		return none, fmt.Errorf("%w: there is no kind of store %q; want %s", store.ErrInvalid, what.To, strings.Join(storeKinds, " or "))
	}
	from := *c
	var err error
	for _, target := range known {
		if target.Store == what.To && what.To == storeElasticsearch && len(from.Store.Elasticsearch.URLs) == 0 {
			if from, err = from.With(target.Settings); err != nil {
				return none, err
			}
		}
	}
	if from, err = from.With(what.Settings); err != nil {
		return none, err
	}
	if what.To == storeSQLite {
		return sqliteTarget(&from), nil
	}
	if len(from.Store.Elasticsearch.URLs) == 0 {
		return none, fmt.Errorf("%w: where Elasticsearch is, nobody said; say --set store.elasticsearch.urls=https://…", store.ErrInvalid)
	}
	return elasticTarget(&from), nil
}

func sqliteTarget(c *config.Config) querystore.Target {
	place := c.Store.SQLite.Path
	if place != "" {
		if path, err := filepath.Abs(place); err == nil {
			place = path
		}
	}
	// The directory may be moved with its store.
	if place == "" || place == filepath.Join(c.Data, standardFile) {
		place = standardFile
	}
	return querystore.Target{Store: storeSQLite, Place: place}
}

// elasticTarget is the store of the indices of a prefix, whatever the nodes that lead to
// them.
func elasticTarget(c *config.Config) querystore.Target {
	e := &c.Store.Elasticsearch
	settings := map[string]string{}
	for name, value := range map[string]string{
		"urls": strings.Join(e.URLs, ","), "prefix": e.Prefix, "username": e.Username, "password": string(e.Password), "api_key": string(e.APIKey),
		"ca_file": e.CAFile, "compression": strconv.FormatBool(e.Compression), "shards": strconv.Itoa(e.Shards), "replicas": strconv.Itoa(e.Replicas),
		"timeout": e.Timeout.String(),
	} {
		settings["store.elasticsearch."+name] = value
	}
	return querystore.Target{Store: storeElasticsearch, Place: e.Prefix, Settings: settings}
}

// file is the path of an SQLite store.
func (s *server) file(target querystore.Target) string {
	if filepath.IsAbs(target.Place) {
		return target.Place
	}
	return filepath.Join(s.config.Data, target.Place)
}

func (s *server) openTarget(ctx context.Context, target querystore.Target) (store.Store, error) {
	switch target.Store {
	case storeSQLite:
		opened, err := sqlite.Open(ctx, sqlite.Options{Path: s.file(target), Log: s.log})
		if opened == nil {
			return nil, err
		}
		return opened, err
	case storeElasticsearch:
		standard := config.Default()
		c, err := standard.With(target.Settings)
		if err != nil {
			return nil, fmt.Errorf("open store %s: %w", target, err)
		}
		e := &c.Store.Elasticsearch
		opened, err := elastic.Open(ctx, elastic.Options{
			URLs: e.URLs, Prefix: e.Prefix, Username: e.Username, Password: string(e.Password), APIKey: string(e.APIKey), CACert: e.CAFile,
			Compression: e.Compression, Shards: e.Shards, Replicas: e.Replicas, Timeout: time.Duration(e.Timeout), Log: s.log,
		})
		if opened == nil {
			return nil, err
		}
		return opened, err
	}
	return nil, fmt.Errorf("open store %s: there is no such kind of store", target)
}

// targetExists tells whether there may be something in a store: what is on other machines
// may always be there.
func (s *server) targetExists(target querystore.Target) bool {
	if target.Store != storeSQLite {
		return true
	}
	_, err := os.Stat(s.file(target))
	return err == nil
}

func (s *server) removeTarget(target querystore.Target) error {
	if target.Store != storeSQLite {
		return nil
	}
	return sqlite.Remove(s.file(target))
}
