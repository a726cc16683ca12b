// Package vectors takes the vectors of X25519 out of Wycheproof's.
//
//	go test .            compares them with ../x25519.json
//	go test . -update    writes that file
package vectors

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"
)

const (
	modulePath = "github.com/c2sp/wycheproof"
	vectorFile = "../x25519.json"
)

var update = flag.Bool("update", false, "write "+vectorFile)

type vectors struct {
	Source  string   `json:"source"`
	Version string   `json:"version"`
	License string   `json:"license"`
	Changed string   `json:"changed"`
	Vectors []vector `json:"vectors"`
}

type vector struct {
	ID      int    `json:"tcId"`
	Comment string `json:"comment"`
	Public  string `json:"public"`
	Private string `json:"private"`
	Shared  string `json:"shared"`
}

// version is the one that go.mod asks for.
func version(t *testing.T) string {
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "require "+modulePath+" ")
	if !found {
		t.Fatal("go.mod does not name " + modulePath)
	}
	return strings.Fields(after)[0]
}

func taken(t *testing.T) []byte {
	original, err := fs.ReadFile(wycheproof.TestVectors, "x25519_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		NumberOfTests int
		TestGroups    []struct{ Tests []vector }
	}
	if err := json.Unmarshal(original, &file); err != nil {
		t.Fatal(err)
	}
	made := vectors{
		modulePath + "/testvectors_v1/x25519_test.json", version(t), "Apache-2.0, see wycheproof/LICENSE",
		"notes, flags and results are left out", nil,
	}
	for _, group := range file.TestGroups {
		made.Vectors = append(made.Vectors, group.Tests...)
	}
	if len(made.Vectors) != file.NumberOfTests {
		t.Fatalf("%d vectors of %d", len(made.Vectors), file.NumberOfTests)
	}
	text, err := json.MarshalIndent(made, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

func TestVectors(t *testing.T) {
	made := taken(t)
	if *update {
		if err := os.WriteFile(vectorFile, made, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	kept, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, made) {
		t.Fatalf("%s is not what %s has; see -update", vectorFile, modulePath)
	}
}
