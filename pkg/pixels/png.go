package pixels

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"iter"
)

// pngSignature begins each PNG.
const pngSignature = "\x89PNG\r\n\x1a\n"

// pngChunks yields the name and body of each whole chunk, without its checksum.
// https://www.w3.org/TR/png-3/#5Chunk-layout
func pngChunks(data []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for rest := data[min(len(pngSignature), len(data)):]; len(rest) >= 12; {
			size := uint64(binary.BigEndian.Uint32(rest))
			if size+12 > uint64(len(rest)) || !yield(string(rest[4:8]), rest[8:8+size]) {
				return
			}
			rest = rest[12+size:]
		}
	}
}

// pngConfig reads the header. For a size that overflows, png.DecodeConfig reports an
// unsupported feature, and for a size of 0, damage.
func pngConfig(data []byte) (image.Config, error) {
	if len(data) < 24 {
		return image.Config{}, io.ErrUnexpectedEOF
	}
	if string(data[12:16]) != "IHDR" {
		return image.Config{}, errors.New("png: its first chunk is not IHDR, the header")
	}
	return sized(int(binary.BigEndian.Uint32(data[16:])), int(binary.BigEndian.Uint32(data[20:]))), nil
}

// decodePNG also takes a file that ends after its pixels, without the last chunk, IEND.
// image/png needs that chunk, and reports damage if pixels are missing.
func decodePNG(data []byte) (image.Image, error) {
	end := len(pngSignature)
	pixels := false
	for id, body := range pngChunks(data) {
		if id == "IEND" {
			return png.Decode(bytes.NewReader(data))
		}
		pixels = pixels || id == "IDAT"
		end += 12 + len(body)
	}
	if !pixels {
		return nil, io.ErrUnexpectedEOF
	}
	// What comes after the whole chunks is a part of one.
	iend := binary.BigEndian.AppendUint32([]byte("\x00\x00\x00\x00IEND"), crc32.ChecksumIEEE([]byte("IEND")))
	return png.Decode(io.MultiReader(bytes.NewReader(data[:end]), bytes.NewReader(iend)))
}
