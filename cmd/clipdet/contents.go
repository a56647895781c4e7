package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// contents say of which categories pictures show something, by their files' names.
type contents struct {
	categories []string
	images     map[string]map[string]bool
}

// readContents reads what is needed of a file of COCO's instances: cocodataset.org/#format-data.
func readContents(path string) (*contents, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Images []struct {
			ID       int64  `json:"id"`
			FileName string `json:"file_name"`
		} `json:"images"`
		Annotations []struct {
			ImageID    int64 `json:"image_id"`
			CategoryID int64 `json:"category_id"`
		} `json:"annotations"`
		Categories []struct {
			ID   int64  `json:"id"`
			Name string `json:"name"`
		} `json:"categories"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	if len(file.Images) == 0 || len(file.Categories) == 0 {
		return nil, errors.New("it has no images or no categories, as COCO's instances have")
	}
	c := &contents{images: map[string]map[string]bool{}}
	names := map[int64]string{}
	for _, category := range file.Categories {
		c.categories, names[category.ID] = append(c.categories, category.Name), category.Name
	}
	shown := map[int64]map[string]bool{}
	for _, image := range file.Images {
		base := filepath.Base(image.FileName)
		if c.images[base] == nil { // images of one name in several directories count as one
			c.images[base] = map[string]bool{}
		}
		shown[image.ID] = c.images[base]
	}
	for i, a := range file.Annotations {
		name, ok := names[a.CategoryID]
		if !ok || shown[a.ImageID] == nil {
			return nil, fmt.Errorf("annotation %d is of image %d and category %d, and one of them is not there", i+1, a.ImageID, a.CategoryID)
		}
		shown[a.ImageID][name] = true
	}
	return c, nil
}

// has says whether the picture is known.
func (c *contents) has(path string) bool { return c.images[filepath.Base(path)] != nil }

// shows says whether something of the category is in the picture.
func (c *contents) shows(path, category string) bool { return c.images[filepath.Base(path)][category] }
