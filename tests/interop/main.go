// Checks what the project writes with Go's sumdb/note and sumdb/tlog, which nobody of the project wrote.
//
// Reads {"cases": [...]} from standard input and answers with one {"ok": ..., "why": ...} for each case, in order. What is
// binary is base64. Nothing but the packages below decides; the checkpoint's three lines are split here.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type testCase struct {
	Kind      string   `json:"kind"`
	Vkey      string   `json:"vkey"`
	Origin    string   `json:"origin"`
	Note      []byte   `json:"note"`
	Old       [][]byte `json:"old"`
	Index     int64    `json:"index"`
	Entry     []byte   `json:"entry"`
	Proof     [][]byte `json:"proof"`
	Directory string   `json:"directory"`
	First     int64    `json:"first"`
}

type verdict struct {
	Ok  bool   `json:"ok"`
	Why string `json:"why,omitempty"`
}

func main() {
	var input struct {
		Cases []testCase `json:"cases"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&input); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	verdicts := []verdict{}
	for _, one := range input.Cases {
		if err := check(one); err != nil {
			verdicts = append(verdicts, verdict{Why: err.Error()})
		} else {
			verdicts = append(verdicts, verdict{Ok: true})
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(verdicts); err != nil {
		os.Exit(2)
	}
}

func check(one testCase) error {
	if one.Kind == "tiles" {
		return checkTiles(one)
	}
	tree, err := open(one, one.Note)
	if err != nil {
		return err
	}
	hashes := make([]tlog.Hash, len(one.Proof))
	for at, data := range one.Proof {
		if len(data) != tlog.HashSize {
			return fmt.Errorf("proof: got %d bytes", len(data))
		}
		copy(hashes[at][:], data)
	}
	switch one.Kind {
	case "checkpoint":
		return nil
	case "inclusion":
		return tlog.CheckRecord(hashes, tree.N, tree.Hash, one.Index, tlog.RecordHash(one.Entry))
	case "consistency":
		old, err := open(one, one.Old[0])
		if err != nil {
			return err
		}
		return tlog.CheckTree(hashes, tree.N, tree.Hash, old.N, old.Hash)
	}
	return fmt.Errorf("kind: got %q", one.Kind)
}

// open gives the tree in a note that is signed by the case's key, and is a checkpoint of its origin.
func open(one testCase, data []byte) (tlog.Tree, error) {
	verifier, err := note.NewVerifier(one.Vkey)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[3] != "" || lines[0] != one.Origin {
		return tlog.Tree{}, errors.New("not a checkpoint of this origin")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 1 || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, errors.New("not a size of at least 1")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tlog.Tree{}, errors.New("not a root")
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	return tree, nil
}

// checkTiles proves every record, and every older checkpoint, from a directory in the layout of c2sp.org/tlog-tiles.
func checkTiles(one testCase) error {
	data, err := os.ReadFile(filepath.Join(one.Directory, "checkpoint"))
	if err != nil {
		return err
	}
	tree, err := open(one, data)
	if err != nil {
		return err
	}
	// The reader authenticates every tile that it reads against the tree's hash.
	reader := tlog.TileHashReader(tree, directory(one.Directory))
	for _, data := range one.Old {
		old, err := open(one, data)
		if err != nil {
			return err
		}
		proof, err := tlog.ProveTree(tree.N, old.N, reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
			return err
		}
	}
	for bundle := one.First / 256; bundle*256 < tree.N; bundle++ {
		entries, err := readEntries(one.Directory, bundle, tree.N)
		if err != nil {
			return err
		}
		for at, entry := range entries {
			index := bundle*256 + int64(at)
			proof, err := tlog.ProveRecord(tree.N, index, reader)
			if err != nil {
				return err
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
				return fmt.Errorf("entry %d: %w", index, err)
			}
		}
	}
	return nil
}

func readEntries(folder string, bundle, size int64) ([][]byte, error) {
	width := int64(256)
	if size-bundle*256 < width {
		width = size - bundle*256
	}
	data, err := os.ReadFile(filepath.Join(folder, "tile", "entries", place(bundle, int(width))))
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
			return nil, errors.New("an entry is cut")
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		entries, data = append(entries, data[2:end]), data[end:]
	}
	if int64(len(entries)) != width {
		return nil, fmt.Errorf("got %d entries, wanted %d", len(entries), width)
	}
	return entries, nil
}

// directory is a tlog.TileReader of the files of one folder.
type directory string

func (directory) Height() int { return 8 }

func (directory) SaveTiles([]tlog.Tile, [][]byte) {}

func (folder directory) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(filepath.Join(string(folder), "tile", strconv.Itoa(tile.L), place(tile.N, tile.W)))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

// place is the end of a tile's path: x001/x234/067, and .p/<width> where it is not full.
func place(number int64, width int) string {
	path := fmt.Sprintf("%03d", number%1000)
	for number /= 1000; number > 0; number /= 1000 {
		path = fmt.Sprintf("x%03d/%s", number%1000, path)
	}
	if width < 256 {
		path += fmt.Sprintf(".p/%d", width)
	}
	return path
}
