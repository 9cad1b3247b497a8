package servers

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// An Elasticsearch is published as a program that is fetched from its vendor,
// and as the libraries that it is made of, in the registry of Java's packages.
// The libraries are what Maven brings, once for a user.

//go:embed elasticsearch
var parts embed.FS

// elasticsearchHome is the directory of an assembled node: lib and classes for
// the class path, modules for the node itself. It stays for later runs.
var elasticsearchHome = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "tributary-tests")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	name, err := fingerprint(parts)
	if err != nil {
		return "", err
	}
	return assembleOnce(filepath.Join(cache, "elasticsearch-"+name), assembleElasticsearch)
})

// fingerprint names what files hold: other files, another name.
func fingerprint(files fs.FS) (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, name)
		fmt.Fprintf(hash, "%s %d\n%s", name, len(text), text)
		return err
	})
	return hex.EncodeToString(hash.Sum(nil)[:8]), err
}

// assembleOnce returns the directory home, made by assemble where it is not
// there. Of several processes that want it at the same time one makes it and
// the others wait; what one that died or failed has left is made anew.
func assembleOnce(home string, assemble func(dir string) error) (string, error) {
	lock, err := os.OpenFile(home+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close() // and with it the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(home); err == nil {
		return home, nil
	}
	unfinished := home + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return "", err
	}
	if err := os.Mkdir(unfinished, 0o755); err != nil {
		return "", err
	}
	if err := assemble(unfinished); err != nil {
		return "", err
	}
	return home, os.Rename(unfinished, home)
}

// assembleElasticsearch makes a node's directory with Maven and a Java compiler.
func assembleElasticsearch(dir string) error {
	source, err := fs.Sub(parts, "elasticsearch")
	if err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(dir, "source"), source); err != nil {
		return err
	}
	lib, module := filepath.Join(dir, "lib"), filepath.Join(dir, "modules", "transport-netty4")
	for _, made := range []string{module, filepath.Join(dir, "config")} {
		if err := os.MkdirAll(made, 0o755); err != nil {
			return err
		}
	}
	if err := tool(dir, "mvn", "-q", "-B", "-f", "source/pom.xml", "dependency:copy-dependencies", "-DoutputDirectory="+lib); err != nil {
		return err
	}
	// What the node loads as a module of its own must not be on the class path.
	jars, err := os.ReadDir(lib)
	if err != nil {
		return err
	}
	for _, jar := range jars {
		for _, pattern := range []string{"netty-*.jar", "transport-netty4-*.jar", "elasticsearch-ssl-config-*.jar"} {
			if match, _ := path.Match(pattern, jar.Name()); match {
				if err := os.Rename(filepath.Join(lib, jar.Name()), filepath.Join(module, jar.Name())); err != nil {
					return err
				}
			}
		}
	}
	if err := os.Rename(filepath.Join(dir, "source", "plugin-descriptor.properties"), filepath.Join(module, "plugin-descriptor.properties")); err != nil {
		return err
	}
	return tool(dir, "javac", "-cp", filepath.Join(lib, "*"), "-d", "classes", "source/EsNode.java")
}

// tool runs a program in a directory, for ten minutes at most.
func tool(dir, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = dyingWithParent()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s (Debian: apt-get install maven default-jdk-headless): %w\n%s", name, err, out)
	}
	return nil
}
