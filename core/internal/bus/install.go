package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// What an installation keeps about itself: in the data directory, and under a
// kind of the config bucket that no resource has.
const (
	fileInstallation = "installation-key"
	fileNode         = "node-id"

	kindOwn       = "_bus"
	ownPartitions = "partitions"
	ownKey        = "installation-key"

	defaultPartitions = 16
	maxPartitions     = 1024
	keyBytes          = 32
)

// keptSecret reads a file that only its owner may read, or makes it.
func keptSecret(path string, create func() ([]byte, error)) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err == nil {
		return data, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if data, err = create(); err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	if err := writeDurably(path, data, 0o600); err != nil {
		return nil, err
	}
	return data, nil
}

// writeDurably writes a new file, whole or not at all, and makes it survive a
// power cut.
func writeDurably(path string, data []byte, mode os.FileMode) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func newInstallationKey() ([]byte, error) {
	key := make([]byte, keyBytes)
	_, err := rand.Read(key)
	return key, err
}

// identify finds out which node and which installation this is.
func (b *Bus) identify(ctx context.Context) error {
	_, err := b.last(ctx, streamResources, subjectResource(kindOwn, ownPartitions))
	fresh := errors.Is(err, ErrNotFound)
	if err != nil && !fresh {
		return fmt.Errorf("read the installation's %s: %w", ownPartitions, err)
	}
	if b.server != nil {
		path := filepath.Join(b.options.Dir, fileInstallation)
		if _, err := os.Stat(path); !fresh && errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is missing, and without it no known person would be recognised; restore it from a backup", path)
		}
		b.key, err = keptSecret(path, newInstallationKey)
	} else {
		b.key, err = b.own(ctx, ownKey, newInstallationKey)
	}
	if err != nil {
		return err
	}
	if len(b.key) != keyBytes {
		return fmt.Errorf("the installation key has %d bytes, want %d; restore it from a backup", len(b.key), keyBytes)
	}
	wanted := b.options.Partitions
	if wanted < 0 || wanted > maxPartitions {
		return fmt.Errorf("%d partitions: give a number from 1 to %d", wanted, maxPartitions)
	}
	kept, err := b.own(ctx, ownPartitions, func() ([]byte, error) {
		if wanted == 0 {
			wanted = defaultPartitions
		}
		return []byte(strconv.Itoa(wanted)), nil
	})
	if err != nil {
		return err
	}
	b.partitions, err = strconv.Atoi(string(kept))
	if err != nil || b.partitions < 1 {
		return fmt.Errorf("the bus keeps %q as its number of partitions, which is none", kept)
	}
	if wanted != 0 && wanted != b.partitions {
		return fmt.Errorf("%d partitions are asked for, but the bus was created with %d, and the number is fixed then; "+
			"leave it out or set it to %d", wanted, b.partitions, b.partitions)
	}
	return nil
}

// own reads what the installation keeps under a name, or creates it: one of
// several nodes that start at once does, and all read the same.
func (b *Bus) own(ctx context.Context, name string, create func() ([]byte, error)) ([]byte, error) {
	subject := subjectResource(kindOwn, name)
	for {
		m, err := b.last(ctx, streamResources, subject)
		if err == nil {
			return m.data, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("read the installation's %s: %w", name, err)
		}
		data, err := create()
		if err != nil {
			return nil, fmt.Errorf("make the installation's %s: %w", name, err)
		}
		if _, err := b.store(ctx, b.effects, streamResources, subject, expecting(0), data); err != nil && !refusedWith(err, codeWrongLastSequence) {
			return nil, fmt.Errorf("keep the installation's %s: %w", name, err)
		}
	}
}

// nodeID reads the name of this node, or makes one.
func nodeID(dir string) (string, error) {
	data, err := keptSecret(filepath.Join(dir, fileNode), func() ([]byte, error) {
		id, err := uuid.NewV7()
		return []byte(id.String()), err
	})
	return strings.TrimSpace(string(data)), err
}
