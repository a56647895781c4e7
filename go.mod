module github.com/clipdet/clipdet

go 1.26

require (
	github.com/disintegration/imaging v1.6.2
	github.com/sugarme/gotch v0.9.1
	github.com/sugarme/tokenizer v0.3.0
)
