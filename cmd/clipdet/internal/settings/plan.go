// Package settings defines the flags that several commands share and the plan that they
// make. A plan is read and checked before any model is loaded.
package settings

import (
	"context"
	"fmt"
	"io"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/device"
)

// Plan is what the flags ask for. It is read and checked before any model is loaded.
type Plan struct {
	Options     detect.Options
	Queries     []detect.Query
	Params      detect.Params
	Calibration *Calibration // nil: none
	// Read are the files that the flags name and that were read. No result may replace one.
	Read     []files.Named
	autotune bool
	stderr   io.Writer
}

// Budget returns a budget of the given size in MiB. It has room for the pictures that the
// plan's detector takes together, but at least for 4.
func (p Plan) Budget(mebibytes int) *intake.Budget {
	return intake.NewBudget(mebibytes, max(p.Options.ImageBatch, 4))
}

// Detector loads the models. The caller must close the Detector.
func (p *Plan) Detector(ctx context.Context) (*detect.Detector, error) {
	if p.autotune {
		device.Autotune(true)
	}
	detector, err := detect.Open(ctx, p.Options)
	if err != nil {
		return nil, exit.NotOpened(ctx, err)
	}
	return detector, nil
}

// Open loads the models, embeds the queries, and takes the thresholds from the
// calibration, if there is one. The caller must close the Detector, which frees the
// Queries too.
func (p *Plan) Open(ctx context.Context) (*detect.Detector, *detect.Queries, error) {
	detector, err := p.Detector(ctx)
	if err != nil {
		return nil, nil, err
	}
	queries, err := detector.Queries(ctx, p.Queries...)
	if err != nil {
		detector.Close()
		return nil, nil, exit.NotOpened(ctx, err)
	}
	p.tellAlike(queries.Alike())
	if p.Calibration == nil {
		return detector, queries, nil
	}
	scoring, err := p.Scoring(detector.Info())
	if err == nil {
		p.Params.Thresholds, err = p.Calibration.For(scoring)
	}
	if err != nil {
		detector.Close()
		return nil, nil, fmt.Errorf("--calibration %s: %w", p.Calibration.path, err)
	}
	return detector, queries, nil
}

// tellAlike says which queries aren't measured against each other, if that matters for
// the scores.
func (p *Plan) tellAlike(pairs []detect.Alike) {
	if p.Params.Scores == detect.ScoresEach || p.Params.Rank == detect.RankCosine {
		return
	}
	const most = 5
	for _, pair := range pairs[:min(most, len(pairs))] {
		console.Say(p.stderr, "%q and %q are nearly the same to these models (likeness %.2f), so neither is measured against the other; ask for one of them, or see --alike",
			pair.A, pair.B, pair.Likeness)
	}
	if more := len(pairs) - most; more > 0 {
		console.Say(p.stderr, "%d more pairs of queries are as much alike", more)
	}
}
