package querystore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A state says which store answers. It is kept in the data directory.
type state struct {
	Answers Target `json:"answers"`
	// Configured is what the settings named when that was decided: as long as they name
	// the same, what a command said since holds.
	Configured string `json:"configured"`
	// Serial counts the switches: a cursor holds for the store that gave it.
	Serial uint64 `json:"serial"`
	// Filling is the store that is to answer once it is filled; nil: none.
	Filling *fillState `json:"filling,omitempty"`
	// Kept is the store that answered before, until it is dropped; nil: none.
	Kept *Target `json:"kept,omitempty"`
}

// A fillState says how far a fill is, as far as the store itself does not.
type fillState struct {
	Target Target `json:"target"`
	// Emptied is true once nothing is in it that was there before.
	Emptied bool `json:"emptied"`
}

// stateFile is the file's name. It may hold passwords: nobody else may read it.
const stateFile = "store.json"

func loadState(dir string) (*state, error) {
	path := filepath.Join(dir, stateFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read which store answers: %w", err)
	}
	s := &state{}
	if err := json.Unmarshal(text, s); err != nil || s.Answers.Store == "" {
		return nil, fmt.Errorf("read which store answers: %s is damaged: %w; without the file the settings tell which one does", path, err)
	}
	return s, nil
}

// save replaces the file. When it returns, a power cut does not bring back the old one.
func (s *state) save(dir string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = replace(filepath.Join(dir, stateFile), append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("keep which store answers: %w", err)
	}
	return nil
}

func replace(path string, text []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// decide tells which store answers from now on and which one is to be filled, by what
// is kept (nil: nothing is) and what the settings wish. standard is the store of a
// directory in which nothing is kept; exists tells whether there is anything in a store.
func decide(kept *state, wished, standard Target, exists func(Target) bool) *state {
	if kept == nil {
		s := &state{Answers: wished, Configured: wished.String()}
		if !wished.Is(standard) && exists(standard) {
			s.Answers, s.Filling = standard, &fillState{Target: wished}
		}
		return s
	}
	s := *kept
	if s.Configured != wished.String() {
		s.Configured, s.Filling = wished.String(), nil
		switch {
		case wished.Is(s.Answers):
		case !exists(s.Answers): // it was moved away, or deleted
			s.Answers = wished
			s.Serial++
		default:
			s.Filling = &fillState{Target: wished}
		}
		if s.Kept != nil && s.Kept.Is(wished) {
			s.Kept = nil
		}
	}
	// The settings are the newer ones.
	if wished.Is(s.Answers) {
		s.Answers = wished
	}
	if s.Filling != nil && wished.Is(s.Filling.Target) {
		s.Filling = &fillState{Target: wished, Emptied: s.Filling.Emptied}
	}
	if s.Kept != nil && !exists(*s.Kept) {
		s.Kept = nil
	}
	return &s
}
