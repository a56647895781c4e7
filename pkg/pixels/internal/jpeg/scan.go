package jpeg

import (
	"errors"
	"fmt"
	"io"
)

// scan is one pass over some of the components.
type scan struct {
	bits
	parts []part
	// A progressive scan holds the coefficients first to last: their bits from low up to
	// high, or, if high is 0, all bits from low up.
	first, last, high, low int
	// run is the number of next blocks without more data in this scan.
	run int
}

// part is a component in a scan and its tables.
type part struct {
	*component
	dc, ac *huffman
}

// scan decodes a scan. Its header is segment (T.81 B.2.3).
func (d *decoder) scan(segment []byte) error {
	if d.components == nil {
		return errors.New("scan before the frame header")
	}
	if d.scans++; d.scans > maxScans {
		return fmt.Errorf("more than %d scans", maxScans)
	}
	s, err := d.scanHeader(segment)
	if err != nil {
		return err
	}
	s.bits = bits{data: d.data, pos: d.pos}

	// A unit is one block if the scan has a single component. Otherwise it is the blocks
	// of all components that cover the same pixels.
	across, down := ceil(s.parts[0].Width, 8), ceil(s.parts[0].Height, 8)
	interleaved := len(s.parts) > 1
	if interleaved {
		across, down = ceil(d.width, 8*d.maxH), ceil(d.height, 8*d.maxV)
	}
	for unit := range across * down {
		if d.restart > 0 && unit%d.restart == 0 {
			if err := s.resync(unit / d.restart); err != nil {
				return err
			}
		}
		x, y := unit%across, unit/across
		for i := range s.parts {
			p := &s.parts[i]
			if !interleaved {
				d.block(s, p, x, y)
				continue
			}
			for v := range p.v {
				for h := range p.h {
					d.block(s, p, x*p.h+h, y*p.v+v)
				}
			}
		}
		if s.bad {
			return errors.New("code that is in no Huffman table")
		}
		if s.overrun() {
			return fmt.Errorf("data of a scan: %w", io.ErrUnexpectedEOF)
		}
	}
	d.pos = s.pos
	return nil
}

func (d *decoder) scanHeader(segment []byte) (*scan, error) {
	if len(segment) < 1 || len(segment) < 4+2*int(segment[0]) {
		return nil, errors.New("short scan header")
	}
	n := int(segment[0])
	tail := segment[1+2*n:]
	s := &scan{first: int(tail[0]), last: int(tail[1]), high: int(tail[2] >> 4), low: int(tail[2] & 15)}
	if !d.progressive {
		s.first, s.last, s.high, s.low = 0, 63, 0, 0
	}
	if s.first > s.last || s.last > 63 || s.low > 13 || s.high > 0 && s.high != s.low+1 ||
		d.progressive && s.first == 0 && s.last > 0 || s.first > 0 && n != 1 || n < 1 {
		return nil, errors.New("bad scan header")
	}
	for i := range n {
		c := d.component(segment[1+2*i])
		dc, ac := segment[2+2*i]>>4, segment[2+2*i]&15
		if c == nil || dc > 3 || ac > 3 {
			return nil, errors.New("bad scan header: no such component or table")
		}
		for _, p := range s.parts {
			if p.component == c {
				return nil, errors.New("bad scan header: a component is there twice")
			}
		}
		p := part{c, d.dc[dc], d.ac[ac]}
		if p.dc == nil && s.first == 0 && s.high == 0 || p.ac == nil && s.last > 0 {
			return nil, errors.New("scan without its Huffman table")
		}
		if err := d.begin(c); err != nil {
			return nil, err
		}
		s.parts = append(s.parts, p)
	}
	return s, nil
}

func (d *decoder) component(id uint8) *component {
	for i := range d.components {
		if d.components[i].id == id {
			return &d.components[i]
		}
	}
	return nil
}

// begin prepares a component for a scan.
func (d *decoder) begin(c *component) error {
	c.predictor = 0
	if c.quant != nil {
		return nil
	}
	// As in libjpeg, later tables of the same number are ignored.
	if c.quant = d.quant[c.quantiser]; c.quant == nil {
		return errors.New("component without its quantisation table")
	}
	c.Pix = make([]uint8, 64*c.across*c.down)
	if d.progressive {
		c.coefficients = make([]block, c.across*c.down)
	}
	return nil
}

// resync resets the decoder's state. Before an interval other than the first it also
// skips the restart marker.
func (s *scan) resync(interval int) error {
	s.run = 0
	for _, p := range s.parts {
		p.predictor = 0
	}
	if interval == 0 {
		return nil
	}
	for s.pos+1 < len(s.data) && (s.data[s.pos] != 0xff || s.data[s.pos+1] == 0 || s.data[s.pos+1] == 0xff) {
		s.pos++
	}
	if s.pos+1 >= len(s.data) {
		return fmt.Errorf("no restart marker: %w", io.ErrUnexpectedEOF)
	}
	if got, want := s.data[s.pos+1], uint8(rst0+(interval-1)%8); got != want {
		return fmt.Errorf("marker %#x in place of restart marker %#x", got, want)
	}
	s.bits = bits{data: s.data, pos: s.pos + 2}
	return nil
}

// block decodes the next block, the one at (x, y) of p's blocks.
func (d *decoder) block(s *scan, p *part, x, y int) {
	if !d.progressive {
		var b block
		s.sequential(p, &b)
		inverseDCT(p.Pix[8*(y*p.Stride+x):], p.Stride, &b, p.quant)
		return
	}
	b := &p.coefficients[y*p.across+x]
	switch {
	case s.first == 0 && s.high == 0:
		p.predictor += s.difference(p.dc)
		b[0] = int16(p.predictor << s.low)
	case s.first == 0:
		b[0] |= int16(s.take(1) << s.low)
	case s.high == 0:
		s.spectrum(p.ac, b)
	default:
		s.refine(p.ac, b)
	}
}

// difference returns the difference of the next DC value from the one before it.
func (s *scan) difference(h *huffman) int32 {
	size := s.symbol(h)
	if size > 15 {
		s.bad = true
		return 0
	}
	return s.signed(size)
}

// sequential decodes a whole block, T.81 F.2.2.
func (s *scan) sequential(p *part, b *block) {
	p.predictor += s.difference(p.dc)
	b[0] = int16(p.predictor)
	for k := 1; k < 64; k++ {
		symbol := s.symbol(p.ac)
		zeros, size := symbol>>4, symbol&15
		if size == 0 {
			if zeros != 15 {
				return
			}
			k += 15
			continue
		}
		if k += zeros; k > 63 {
			s.bad = true
			return
		}
		b[zigzag[k]] = int16(s.signed(size))
	}
}

// spectrum decodes the first bits of a progressive block's coefficients, G.1.2.2.
func (s *scan) spectrum(h *huffman, b *block) {
	if s.run > 0 {
		s.run--
		return
	}
	for k := s.first; k <= s.last; k++ {
		symbol := s.symbol(h)
		zeros, size := symbol>>4, symbol&15
		if size == 0 {
			if zeros != 15 {
				s.run = 1<<zeros + int(s.take(zeros)) - 1
				return
			}
			k += 15
			continue
		}
		if k += zeros; k > s.last {
			s.bad = true
			return
		}
		b[zigzag[k]] = int16(s.signed(size) << s.low)
	}
}

// refine decodes one more bit of a progressive block's coefficients, G.1.2.3.
func (s *scan) refine(h *huffman, b *block) {
	bit := int16(1) << s.low
	k := s.first
	if s.run == 0 {
		for ; k <= s.last; k++ {
			symbol := s.symbol(h)
			zeros, size := symbol>>4, symbol&15
			var fresh int16 // a coefficient that was zero before
			switch {
			case size == 1:
				if fresh = bit; s.take(1) == 0 {
					fresh = -bit
				}
			case size > 1:
				s.bad = true
				return
			case zeros != 15:
				s.run = 1<<zeros + int(s.take(zeros))
			}
			if s.run > 0 {
				break
			}
			for ; k <= s.last; k++ {
				c := &b[zigzag[k]]
				if *c == 0 {
					if zeros == 0 {
						*c = fresh
						break
					}
					zeros--
				} else {
					s.correct(c, bit)
				}
			}
		}
	}
	if s.run > 0 {
		for ; k <= s.last; k++ {
			if c := &b[zigzag[k]]; *c != 0 {
				s.correct(c, bit)
			}
		}
		s.run--
	}
}

// correct reads whether a coefficient grows by a bit, and adds it.
func (s *scan) correct(c *int16, bit int16) {
	switch {
	case s.take(1) == 0 || *c&bit != 0:
	case *c > 0:
		*c += bit
	default:
		*c -= bit
	}
}
