package channels

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every exported function and method has an Example.
func TestEveryMethodHasAnExample(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	exported, examples := map[string]bool{}, map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			switch {
			case !ok:
			case strings.HasSuffix(name, "_test.go"):
				examples[fn.Name.Name] = true
			case fn.Name.IsExported() && ast.IsExported(receiverOf(fn)+"X"):
				exported[strings.TrimPrefix(receiverOf(fn)+"_"+fn.Name.Name, "_")] = true
			}
		}
	}
	require.Greater(t, len(exported), 20)
	for name := range exported {
		if !strings.HasSuffix(name, "_MarshalJSON") { // which encoding/json alone calls
			assert.True(t, examples["Example"+name], "write Example%s", name)
		}
	}
}

// receiverOf is the name of the method's type, empty for a function.
func receiverOf(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	expr := fn.Recv.List[0].Type
	if star, ok := expr.(*ast.StarExpr); ok {
		expr = star.X
	}
	if name, ok := expr.(*ast.Ident); ok {
		return name.Name
	}
	return "a generic type's" // which is not exported
}
