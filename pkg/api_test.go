package pkg_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write down what the packages export now")

// apiFile is what other modules may rely on, as detect/CHANGELOG.md promises.
const apiFile = "testdata/api.txt"

// A change of what the packages export is meant, and known to whoever reads the change of api.txt.
func TestExportedAPI(t *testing.T) {
	var now []string
	torch := exported(t, "internal/torch")
	for _, dir := range publicPackages(t) {
		for _, line := range exported(t, dir) {
			now = append(now, line)
			if alias := torchAlias.FindStringSubmatch(line); alias != nil { // its members are public by the other name
				for _, of := range torch {
					if member, ok := strings.CutPrefix(of, "torch: "); ok && isMember(member, alias[1]) {
						now = append(now, dir+": "+member)
					}
				}
			}
		}
	}
	if *update {
		if err := os.WriteFile(apiFile, []byte(strings.Join(now, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(apiFile)
	if err != nil {
		t.Fatal(err)
	}
	before := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	var changes []string
	for _, line := range before {
		if !slices.Contains(now, line) {
			changes = append(changes, "- "+line)
		}
	}
	for _, line := range now {
		if !slices.Contains(before, line) {
			changes = append(changes, "+ "+line)
		}
	}
	if len(changes) > 0 {
		t.Errorf("what the packages export is not what pkg/%s says:\n%s\nA line with - breaks programs that use it. Where it is meant, say so in "+
			"pkg/detect/CHANGELOG.md, and run: CGO_ENABLED=0 go test ./pkg -run TestExportedAPI -update", apiFile, strings.Join(changes, "\n"))
	}
	for _, want := range []string{"detect: method (*Detector) Close() error", "model: method (Set) Check", "box: type Box", "builtin: func Models() model.Set"} {
		if !slices.ContainsFunc(now, func(line string) bool { return strings.Contains(line, want) }) {
			t.Errorf("no line with %q: the test looks in the wrong place", want)
		}
	}
}

// torchAlias is a line of a type that is one of pkg/internal/torch by another name.
var torchAlias = regexp.MustCompile(`\btype \w+ = torch\.(\w+)$`)

// isMember says whether a line, without its package, is of a field or a method of a type.
func isMember(line, name string) bool {
	for _, start := range []string{"type " + name + " struct {", "method (" + name + ")", "method (*" + name + ")"} {
		if strings.HasPrefix(line, start) {
			return true
		}
	}
	return false
}

// publicPackages are the folders below pkg that are part of the promise: all but internal
// ones.
func publicPackages(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for path := range imports(t, false) {
		dir, ok := strings.CutPrefix(path, "pkg/")
		if ok && !slices.Contains(strings.Split(dir, "/"), "internal") {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	return dirs
}

// exported gives a line for each exported name of a package, and for each exported field
// and method of its types. Comments, bodies and the values of variables are left out, and
// so is what takes or gives a type of pkg/internal/torch, but for types that are one of
// those.
func exported(t *testing.T, dir string) []string {
	t.Helper()
	files := token.NewFileSet()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var parsed []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	described, err := doc.NewFromFiles(files, parsed, dir)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	add := func(format string, args ...any) {
		if line := fmt.Sprintf(format, args...); !strings.Contains(line, "torch.") || torchAlias.MatchString(line) {
			lines = append(lines, dir+": "+line)
		}
	}
	text := func(node any) string {
		var b bytes.Buffer
		if err := printer.Fprint(&b, files, node); err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(b.String()), " ")
	}
	function := func(word string, f *doc.Func) {
		receiver := ""
		if f.Recv != "" {
			receiver = "(" + f.Recv + ") "
		}
		add("%s %s%s%s", word, receiver, f.Name, strings.TrimPrefix(text(f.Decl.Type), "func"))
	}
	values := func(all []*doc.Value) {
		for _, value := range all {
			for _, spec := range value.Decl.Specs {
				spec := spec.(*ast.ValueSpec)
				kind := ""
				if spec.Type != nil {
					kind = " " + text(spec.Type)
				}
				for i, name := range spec.Names {
					switch {
					case !name.IsExported():
					case value.Decl.Tok == token.CONST && i < len(spec.Values):
						add("const %s%s = %s", name.Name, kind, text(spec.Values[i]))
					default:
						add("%v %s%s", value.Decl.Tok, name.Name, kind)
					}
				}
			}
		}
	}
	values(described.Consts)
	values(described.Vars)
	for _, f := range described.Funcs {
		function("func", f)
	}
	for _, named := range described.Types {
		for _, spec := range named.Decl.Specs {
			members(add, text, spec.(*ast.TypeSpec))
		}
		values(named.Consts)
		values(named.Vars)
		for _, f := range named.Funcs {
			function("func", f)
		}
		for _, f := range named.Methods {
			function("method", f)
		}
	}
	return lines
}

// members adds a type; a struct or an interface with its exported fields or methods, since go/doc leaves out the others.
func members(add func(string, ...any), text func(any) string, spec *ast.TypeSpec) {
	name := spec.Name.Name
	if spec.TypeParams != nil {
		var parameters []string
		for _, p := range spec.TypeParams.List {
			for _, n := range p.Names {
				parameters = append(parameters, n.Name+" "+text(p.Type))
			}
		}
		name += "[" + strings.Join(parameters, ", ") + "]"
	}
	var kind string
	var fields *ast.FieldList
	switch of := spec.Type.(type) {
	case *ast.StructType:
		kind, fields = "struct", of.Fields
	case *ast.InterfaceType:
		kind, fields = "interface", of.Methods
	default:
		is := ""
		if spec.Assign.IsValid() {
			is = "= "
		}
		add("type %s %s%s", name, is, text(of))
		return
	}
	add("type %s %s", name, kind)
	for _, field := range fields.List {
		tag := ""
		if field.Tag != nil {
			tag = " " + field.Tag.Value
		}
		if len(field.Names) == 0 {
			add("type %s %s { %s%s }", name, kind, text(field.Type), tag)
		}
		for _, n := range field.Names {
			add("type %s %s { %s %s%s }", name, kind, n.Name, text(field.Type), tag)
		}
	}
}
