package main

import (
	"context"
	"debug/buildinfo"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
)

// program is a binary that makes one code.
type program struct {
	by             string
	size, stripped float64
	modules        []*debug.Module // that are linked
}

// buildPrograms builds each twice. The floor comes first.
func buildPrograms(ctx context.Context, dir string) ([]program, error) {
	var out []program
	for _, name := range []string{"nethttp", "wechatqr", "silenceper", "chanxuehong", "PowerWeChat", "fastwego"} {
		p := program{by: name}
		if name == "nethttp" {
			p.by = "net/http"
		}
		for _, to := range []struct {
			size  *float64
			flags string
		}{{&p.size, ""}, {&p.stripped, "-s -w"}} {
			binary := filepath.Join(dir, name)
			if err := command(ctx, "go", "build", "-trimpath", "-ldflags="+to.flags, "-o", binary, "./programs/"+strings.ToLower(name)); err != nil {
				return nil, err
			}
			info, err := os.Stat(binary)
			if err != nil {
				return nil, err
			}
			*to.size = float64(info.Size())
		}
		info, err := buildinfo.ReadFile(filepath.Join(dir, name))
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
