package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
)

// screen has a line of SVG for each line of the terminal.
type screen []string

// The size of a character, and the margin around all of them.
const (
	charWidth  = 8.4
	lineHeight = 18.0
	margin     = 12.0
)

func capture(terminal *vt.SafeEmulator, width, height int) screen {
	lines := make(screen, height)
	for y := range lines {
		var text strings.Builder
		for x := 0; x < width; {
			first, end := *terminal.CellAt(x, y), x
			var run strings.Builder
			for ; end < width; end++ {
				cell := terminal.CellAt(end, y)
				if !cell.Style.Equal(&first.Style) || block(cell) != block(&first) {
					break
				}
				run.WriteString(cell.Content)
			}
			text.WriteString(draw(&first, run.String(), x, end-x))
			x = end
		}
		lines[y] = text.String()
	}
	return lines
}

// block is the character of a progress bar, or 0.
func block(cell *uv.Cell) rune {
	for _, r := range "█░" {
		if cell.Content == string(r) {
			return r
		}
	}
	return 0
}

// draw writes a run of cells of one style. Progress bars are rectangles: fonts leave gaps between their characters.
func draw(first *uv.Cell, text string, x, n int) string {
	if r := block(first); r != 0 {
		class := map[rune]string{'█': "full", '░': "empty"}[r]
		return fmt.Sprintf(`<rect class="%s" x="%s" y="-12" width="%s" height="13"/>`, class, length(x), length(n))
	}
	if strings.TrimSpace(text) == "" {
		return ""
	}
	left := len(text) - len(strings.TrimLeft(text, " "))
	text = strings.TrimSpace(text)
	var escaped bytes.Buffer
	_ = xml.EscapeText(&escaped, []byte(text)) // a buffer takes everything
	return fmt.Sprintf(`<text%s x="%s" textLength="%s">%s</text>`, class(first.Style), length(x+left), length(len([]rune(text))), escaped.String())
}

// length is that of so many characters.
func length(n int) string {
	return strconv.FormatFloat(math.Round(float64(n)*charWidth*10)/10, 'f', -1, 64)
}

// class is the CSS class of a style that the program uses.
func class(s uv.Style) string {
	switch {
	case s.Fg == ansi.Red:
		return ` class="red"`
	case s.Fg == ansi.Yellow:
		return ` class="yellow"`
	case s.Attrs&uv.AttrBold != 0:
		return ` class="bold"`
	case s.Attrs&uv.AttrFaint != 0:
		return ` class="faint"`
	}
	return ""
}

// svg shows one screen after the other, and begins again. Lines that several screens share are written once.
func (r *recording) svg() []byte {
	width, height := float64(r.width)*charWidth+2*margin, float64(r.height)*lineHeight+2*margin
	var defs, frames bytes.Buffer
	ids := map[string]int{}
	for i, s := range r.screens {
		fmt.Fprintf(&frames, `<g transform="translate(%.0f)">`, float64(i)*width)
		for y, line := range s {
			if line == "" {
				continue
			}
			id, known := ids[line]
			if !known {
				id = len(ids)
				ids[line] = id
				fmt.Fprintf(&defs, `<g id="l%d">%s</g>`+"\n", id, line)
			}
			fmt.Fprintf(&frames, `<use href="#l%d" y="%.0f"/>`, id, float64(y+1)*lineHeight-5)
		}
		frames.WriteString("</g>\n")
	}
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]s %[2]s" width="%[1]s" height="%[2]s">
<style>
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #d8dee4; white-space: pre }
.bold { font-weight: bold } .faint { opacity: .6 } .red { fill: #ff6b6b } .yellow { fill: #e5b567 } .full { fill: #4cc38a } .empty { fill: #3b4450 }
.frames { animation: play %.1[3]fs steps(%[4]d, end) infinite }
@keyframes play { to { transform: translateX(-%.0[5]fpx) } }
@media (prefers-reduced-motion: reduce) { .frames { animation: none } }
</style>
<defs>
%[6]s</defs>
<rect width="%[1]s" height="%[2]s" rx="8" fill="#161b22"/>
<svg x="%[7]g" y="%[7]g" width="%[8]s" height="%[9]s"><g class="frames">
%[10]s</g></svg>
</svg>
`, format(width), format(height), float64(len(r.screens))*r.every.Seconds(), len(r.screens), float64(len(r.screens))*width,
		defs.String(), margin, format(width-2*margin), format(height-2*margin), frames.String())
}

func format(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
