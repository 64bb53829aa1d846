package qrimage

import "io"

// Terminal writes the code as lines of text, two modules to a character, in
// black on white by ANSI escape sequences, whatever the terminal's colours. The
// quiet zone has four modules.
func Terminal(w io.Writer, code Code) error {
	p, err := newPen(Style{})
	if err != nil {
		return wrap("terminal", err)
	}
	s, err := p.symbol(code)
	if err != nil {
		return wrap("terminal", err)
	}

	const quiet = 4
	var b []byte
	for y := -quiet; y < s.size+quiet; y += 2 {
		b = append(b, "\x1b[30;107m"...)
		for x := -quiet; x < s.size+quiet; x++ {
			switch upper, lower := s.dark(x, y), s.dark(x, y+1); {
			case upper && lower:
				b = append(b, "█"...)
			case upper:
				b = append(b, "▀"...)
			case lower:
				b = append(b, "▄"...)
			default:
				b = append(b, ' ')
			}
		}
		b = append(b, "\x1b[0m\n"...)
	}
	_, err = w.Write(b)
	return wrap("terminal", err)
}
