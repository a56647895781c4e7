package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob
	_ "gocloud.dev/blob/gcsblob"   // gs
	_ "gocloud.dev/blob/s3blob"    // s3
	"gocloud.dev/gcerrors"
)

// buckets keeps the buckets that were opened, by their URLs.
type buckets struct {
	patience time.Duration // for a byte that comes or goes

	mu   sync.Mutex
	open map[string]*opened
}

type opened struct {
	done chan struct{} // closed when the rest is set
	*blob.Bucket
	err error
}

// help says what a store needs, for errors.
var help = map[string]string{
	"s3": "S3 takes credentials from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or the machine's role," +
		" and the region from AWS_REGION or ?region=; ?endpoint= names another server, ?anonymous=true needs no credentials",
	"gs": "Google Cloud Storage takes credentials from GOOGLE_APPLICATION_CREDENTIALS, gcloud or the machine's account;" +
		" ?anonymous=true needs none",
	"azblob": "Azure takes the account from AZURE_STORAGE_ACCOUNT or ?storage_account=, and credentials from" +
		" AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_CONNECTION_STRING or the machine's identity",
}

// bucket returns the open bucket of a URL.
func (b *buckets) bucket(ctx context.Context, url string) (*opened, error) {
	b.mu.Lock()
	one := b.open[url]
	if one == nil {
		one = &opened{done: make(chan struct{})}
		if b.open == nil {
			b.open = map[string]*opened{}
		}
		b.open[url] = one
		// Some stores keep the context for later. It must not end with this call.
		kept := context.WithoutCancel(ctx)
		go func() {
			one.Bucket, one.err = blob.OpenBucket(kept, url)
			close(one.done)
		}()
	}
	b.mu.Unlock()
	select {
	case <-one.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if one.err != nil {
		b.mu.Lock()
		if b.open[url] == one { // the next call tries again
			delete(b.open, url)
		}
		b.mu.Unlock()
	}
	return one, one.err
}

func (b *buckets) close() error {
	b.mu.Lock()
	open := b.open
	b.open = nil
	b.mu.Unlock()
	var err error
	for _, one := range open {
		<-one.done
		if one.err == nil {
			err = errors.Join(err, one.Close())
		}
	}
	return err
}

func (b *buckets) readKey(ctx context.Context, at place, limit int64) ([]byte, error) {
	watch := b.watch(ctx)
	defer watch.end()
	bucket, err := b.bucket(watch.ctx, at.bucket)
	if err != nil {
		return nil, watch.explain(nil, at, err)
	}
	// The clients try again to get an answer, but not where it breaks off.
	for try := 1; ; try++ {
		data, broken, err := readOnce(watch, bucket, at.key, limit)
		if err == nil {
			return data, nil
		}
		if !broken || try == 3 {
			return nil, watch.explain(bucket, at, err)
		}
	}
}

// readOnce also reports, for an error, whether the answer broke off.
func readOnce(watch *watch, bucket *opened, key string, limit int64) (_ []byte, broken bool, _ error) {
	r, err := bucket.NewReader(watch.ctx, key, nil)
	if err != nil {
		return nil, false, err
	}
	defer r.Close()
	if r.Size() > limit {
		return nil, false, limitError(limit)
	}
	data, err := readAll(incoming{r, watch}, limit)
	return data, watch.ctx.Err() == nil && !errors.As(err, new(limitError)), err
}

func (b *buckets) keyExists(ctx context.Context, at place) (bool, error) {
	watch := b.watch(ctx)
	defer watch.end()
	bucket, err := b.bucket(watch.ctx, at.bucket)
	if err != nil {
		return false, watch.explain(nil, at, err)
	}
	_, err = bucket.Attributes(watch.ctx, at.key)
	if err == nil {
		return true, nil
	}
	if err = watch.explain(bucket, at, err); errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return false, err
}

func (b *buckets) writeKey(ctx context.Context, at place, write func(io.Writer) error) error {
	watch := b.watch(ctx)
	defer watch.end()
	bucket, err := b.bucket(watch.ctx, at.bucket)
	if err != nil {
		return watch.explain(nil, at, err)
	}
	w, err := bucket.NewWriter(watch.ctx, at.key, nil)
	if err != nil {
		return watch.explain(bucket, at, err)
	}
	closed := false
	defer func() { // also if write panics
		if !closed {
			watch.end() // before Close, so that nothing is published
			_ = w.Close()
		}
	}()
	watch.pause() // write may compute as long as it likes
	out := &sticky{Writer: outgoing{w, watch}}
	if err := write(out); err != nil {
		if errors.Is(err, out.err) {
			err = watch.explain(bucket, at, err)
		}
		return err
	}
	if out.err != nil {
		return watch.explain(bucket, at, out.err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	watch.resume()
	closed = true
	if err := w.Close(); err != nil {
		return watch.explain(bucket, at, err)
	}
	return nil
}

// watch ends an operation in which no byte comes or goes for the time of patience.
type watch struct {
	ctx      context.Context // ends with the operation
	end      context.CancelFunc
	patience time.Duration
	timer    *time.Timer
}

func (b *buckets) watch(ctx context.Context) *watch {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{ctx: ctx, patience: b.patience}
	w.timer = time.AfterFunc(b.patience, func() {
		cancel(fmt.Errorf("no byte came or went for %v: is the store there, and reachable from this machine?", b.patience))
	})
	w.end = func() {
		w.timer.Stop()
		cancel(nil)
	}
	return w
}

func (w *watch) pause()  { w.timer.Stop() }
func (w *watch) resume() { w.timer.Reset(w.patience) }

// explain returns err with its cause, and what to do. Where something was not found, it
// asks whether there is a bucket. The bucket is nil if it could not be opened.
func (w *watch) explain(bucket *opened, at place, err error) error {
	if gcerrors.Code(err) == gcerrors.NotFound && bucket != nil {
		w.resume()
		switch there, listing := bucket.IsAccessible(w.ctx); {
		case there:
			return fmt.Errorf("%w: %w", ErrNotFound, err)
		case listing != nil:
			err = fmt.Errorf("%w; listing the bucket: %w", err, listing)
		default:
			err = fmt.Errorf("there is no such bucket here, or it may not be listed: %w", err)
		}
	}
	switch {
	case w.ctx.Err() != nil:
		return context.Cause(w.ctx)
	case errors.As(err, new(limitError)):
		return err
	}
	return fmt.Errorf("%w (%s)", err, help[at.scheme])
}

// incoming tells the watch of bytes that come.
type incoming struct {
	io.Reader
	watch *watch
}

func (r incoming) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.watch.resume()
	}
	return n, err
}

// outgoing has the watch on while bytes go.
type outgoing struct {
	io.Writer
	watch *watch
}

func (w outgoing) Write(p []byte) (int, error) {
	w.watch.resume()
	defer w.watch.pause()
	return w.Writer.Write(p)
}
