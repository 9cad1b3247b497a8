package admin

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// TokenFile is the name of the file, in the data directory, that holds the
// admin token.
const TokenFile = "admin-token"

// Token returns the admin token of a data directory. The one given, unless
// empty, replaces what the file holds; without one the file's is taken, and a
// fresh directory gets a random one.
func Token(dir, given string) (string, error) {
	path := filepath.Join(dir, TokenFile)
	kept, err := ReadToken(dir)
	switch {
	case err == nil && (given == "" || given == kept):
		return kept, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	case strings.ContainsFunc(given, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errors.New("the admin token may hold printable ASCII characters only, and no spaces")
	case given == "":
		secret := make([]byte, 24)
		// crypto/rand.Read never fails; it ends the process where it would.
		_, _ = rand.Read(secret)
		given = hex.EncodeToString(secret)
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, []byte(given+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the admin token: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return "", fmt.Errorf("keep the admin token: %w", err)
	}
	return given, nil
}

// ReadToken reads the admin token of a data directory.
func ReadToken(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, TokenFile))
	if err != nil {
		return "", fmt.Errorf("read the admin token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("%s is empty; remove it and a new token is made at the next start", filepath.Join(dir, TokenFile))
	}
	return token, nil
}
