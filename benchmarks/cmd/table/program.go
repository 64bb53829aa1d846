package main

import (
	"context"
	"debug/buildinfo"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
)

// program is a binary that creates one code.
type program struct {
	by             string
	size, stripped float64
	modules        []*debug.Module // that are linked
}

// buildPrograms builds each twice. The floor comes first.
func buildPrograms(ctx context.Context, dir string) ([]program, error) {
	var out []program
	const ours = "github.com/wechatqr/wechatqr/testdata/size/"
	for _, source := range []struct{ by, pkg string }{
		{"net/http", ours + "plain"},
		{self, ours + "library"},
		{"silenceper", "./programs/silenceper"},
		{"chanxuehong", "./programs/chanxuehong"},
		{"PowerWeChat", "./programs/powerwechat"},
		{"fastwego", "./programs/fastwego"},
	} {
		p := program{by: source.by}
		binary := filepath.Join(dir, path.Base(source.pkg))
		for _, to := range []struct {
			size  *float64
			flags string
		}{{&p.size, ""}, {&p.stripped, "-s -w"}} {
			err := command(ctx, "go", "build", "-trimpath", "-ldflags="+to.flags, "-o", binary, source.pkg)
			if err != nil {
				return nil, err
			}
			info, err := os.Stat(binary)
			if err != nil {
				return nil, err
			}
			*to.size = float64(info.Size())
		}
		info, err := buildinfo.ReadFile(binary)
		if err != nil {
			return nil, err
		}
		p.modules = info.Deps
		out = append(out, p)
	}
	return out, nil
}

// version is that of a module, "" if the program does not link it.
func (p program) version(module string) string {
	for _, m := range p.modules {
		if m.Path == module {
			return m.Version
		}
	}
	return ""
}
