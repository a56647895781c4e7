package pixels

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
)

// decodeGIF returns the first frame on its screen. gif.Decode has checked that the frame
// lies within the screen.
//
// A transparent pixel keeps its colour in the table, as with other formats. image/gif
// would make it black, so decodeGIF hides from it that a colour is transparent. The
// screen around the frame has the transparent colour, or else colour 0, as in Pillow.
func decodeGIF(data []byte) (image.Image, error) {
	config, err := gif.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	clear, at := gifTransparency(data)
	if at > 0 {
		data = bytes.Clone(data)
		data[at] &^= 1
	}
	frame, err := gif.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	screen := image.Rect(0, 0, config.Width, config.Height)
	if frame.Bounds() == screen {
		return frame, nil
	}
	m, err := FromImage(frame)
	if err != nil {
		return nil, err
	}
	out := newRGB(screen.Max.X, screen.Max.Y)
	if p, ok := frame.(*image.Paletted); ok && clear < len(p.Palette) {
		around := color.NRGBAModel.Convert(p.Palette[clear]).(color.NRGBA)
		out.fill(around.R, around.G, around.B)
	}
	out.put(m, frame.Bounds().Min)
	return out, nil
}

// gifTransparency returns the index of the first frame's transparent colour and where in
// data the flag is that says so, or 0 and 0. Layout:
// https://www.w3.org/Graphics/GIF/spec-gif89a.txt
func gifTransparency(data []byte) (index, flags int) {
	const screen, extension, graphicControl = 13, '!', 0xf9
	if len(data) < screen {
		return 0, 0
	}
	at := screen
	if data[10]&0x80 != 0 {
		at += 3 << (1 + data[10]&7)
	}
	for at+3 <= len(data) && data[at] == extension {
		if data[at+1] == graphicControl && data[at+2] == 4 && at+7 <= len(data) {
			if index, flags = 0, 0; data[at+3]&1 != 0 {
				index, flags = int(data[at+6]), at+3
			}
		}
		for at += 2; at < len(data) && data[at] != 0; {
			at += 1 + int(data[at])
		}
		at++
	}
	return index, flags
}
