package index
import ("testing";"fmt";"iter";"image";"os";"path/filepath";"syscall";"time"
"github.com/clipdet/clipdet/pkg/detect";"github.com/clipdet/clipdet/pkg/model/builtin";"github.com/clipdet/clipdet/pkg/pixels")
func cpu() time.Duration{ var r syscall.Rusage; syscall.Getrusage(0,&r); return time.Duration(r.Utime.Nano()+r.Stime.Nano())}
func TestOver(t *testing.T){
 d,err:=detect.Open(t.Context(),detect.Options{Models:builtin.Models(),Device:"cpu",Threads:1,Proposals:100}); if err!=nil{t.Fatal(err)}; defer d.Close()
 paths,_:=filepath.Glob("../../testdata/scenes/*.jpg"); paths=paths[:8]
 images:=func() iter.Seq2[image.Image,error]{return func(y func(image.Image,error)bool){for _,p:=range paths{ im,err:=pixels.DecodeFile(p,pixels.Limits{}); if !y(im,err){return}}}}
 plain:=func(){ for r,err:=range d.RegionsAll(t.Context(),images()){ if err!=nil{t.Fatal(err)}; r.Close()}}
 full:=func(){ dir,_:=os.MkdirTemp("","x"); defer os.RemoveAll(dir); w,err:=Create(dir,d.Info(),Options{}); if err!=nil{t.Fatal(err)}; i:=0
  for r,err:=range d.RegionsAll(t.Context(),images()){ if err!=nil{t.Fatal(err)}; p,_:=Look(paths[i]); p,_=p.Read(); i++; if err:=w.Append(t.Context(),p,r);err!=nil{t.Fatal(err)}; r.Close()}; if err:=w.Close();err!=nil{t.Fatal(err)}}
 plain()
 var a,b [5]time.Duration
 for i:=range 5 { c:=cpu(); plain(); a[i]=cpu()-c; c=cpu(); full(); b[i]=cpu()-c }
 fmt.Println("plain",a,"index",b)
}
