package jpeg

// These are the factors of the inverse DCT, times 2^13.
const (
	fix0298 = 2446
	fix0390 = 3196
	fix0541 = 4433
	fix0765 = 6270
	fix0899 = 7373
	fix1175 = 9633
	fix1501 = 12299
	fix1847 = 15137
	fix1961 = 16069
	fix2053 = 16819
	fix2562 = 20995
	fix3072 = 25172
)

// inverseDCT converts a block's coefficients to 8 x 8 samples, in the integer arithmetic
// of libjpeg's default (jpeg_idct_islow in jidctint.c), after Loeffler, Ligtenberg and
// Moschytz, "Practical fast 1-D DCT algorithms with 11 multiplications", ICASSP 1989.
func inverseDCT(out []uint8, stride int, b *block, quant *[64]uint16) {
	// Columns: 2 bits of fraction remain.
	var w [64]int32
	for x := range 8 {
		c0 := int32(b[x]) * int32(quant[x])
		if b[8+x]|b[16+x]|b[24+x]|b[32+x]|b[40+x]|b[48+x]|b[56+x] == 0 {
			v := c0 << 2
			w[x], w[8+x], w[16+x], w[24+x], w[32+x], w[40+x], w[48+x], w[56+x] = v, v, v, v, v, v, v, v
			continue
		}
		v0, v1, v2, v3, v4, v5, v6, v7 := idct8(
			c0, int32(b[8+x])*int32(quant[8+x]), int32(b[16+x])*int32(quant[16+x]), int32(b[24+x])*int32(quant[24+x]),
			int32(b[32+x])*int32(quant[32+x]), int32(b[40+x])*int32(quant[40+x]), int32(b[48+x])*int32(quant[48+x]),
			int32(b[56+x])*int32(quant[56+x]))
		const half, bits = 1 << 10, 11
		w[x], w[8+x], w[16+x], w[24+x] = (v0+half)>>bits, (v1+half)>>bits, (v2+half)>>bits, (v3+half)>>bits
		w[32+x], w[40+x], w[48+x], w[56+x] = (v4+half)>>bits, (v5+half)>>bits, (v6+half)>>bits, (v7+half)>>bits
	}
	// Rows: the result is also divided by 8, and 0 becomes 128.
	for y := range 8 {
		r := (*[8]int32)(w[8*y:])
		v0, v1, v2, v3, v4, v5, v6, v7 := idct8(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7])
		const half, bits = 128<<18 + 1<<17, 18
		to := (*[8]uint8)(out[y*stride:])
		to[0], to[1], to[2], to[3] = clamp8((v0+half)>>bits), clamp8((v1+half)>>bits), clamp8((v2+half)>>bits), clamp8((v3+half)>>bits)
		to[4], to[5], to[6], to[7] = clamp8((v4+half)>>bits), clamp8((v5+half)>>bits), clamp8((v6+half)>>bits), clamp8((v7+half)>>bits)
	}
}

// idct8 is the one-dimensional transform, times 2^13.
func idct8(c0, c1, c2, c3, c4, c5, c6, c7 int32) (v0, v1, v2, v3, v4, v5, v6, v7 int32) {
	even := (c2 + c6) * fix0541
	e2, e3 := even-c6*fix1847, even+c2*fix0765
	e0, e1 := (c0+c4)<<13, (c0-c4)<<13
	a0, a3, a1, a2 := e0+e3, e0-e3, e1+e2, e1-e2

	z5 := (c7 + c3 + c5 + c1) * fix1175
	z1, z2 := (c7+c1)*-fix0899, (c5+c3)*-fix2562
	z3, z4 := (c7+c3)*-fix1961+z5, (c5+c1)*-fix0390+z5
	o0 := c7*fix0298 + z1 + z3
	o1 := c5*fix2053 + z2 + z4
	o2 := c3*fix3072 + z2 + z3
	o3 := c1*fix1501 + z1 + z4
	return a0 + o3, a1 + o2, a2 + o1, a3 + o0, a3 - o0, a2 - o1, a1 - o2, a0 - o3
}

func clamp8(v int32) uint8 {
	if uint32(v) > 255 {
		return uint8(^(v >> 31)) // 0 below the range, 255 above
	}
	return uint8(v)
}
