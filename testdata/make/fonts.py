"""Writes testdata/fonts: few letters of two fonts, and both fonts in a collection.

apt-get install fonts-noto-cjk fonts-hosny-amiri
pip install fonttools==4.68.0
python testdata/make/fonts.py
"""

import io
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTCollection, TTFont

FOLDER = Path(__file__).parents[1] / "fonts"
FONTS = Path("/usr/share/fonts/opentype")


def few(font: TTFont, letters: str) -> TTFont:
    options = subset.Options(layout_features=["*"], hinting=False, name_IDs=[0, 13, 14], notdef_outline=True)
    options.drop_tables += ["vhea", "vmtx", "VORG", "BASE", "GPOS"]
    cutter = subset.Subsetter(options)
    cutter.populate(text=letters)
    cutter.subset(font)
    return font


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    few(TTFont(FONTS / "noto/NotoSansCJK-Regular.ttc", fontNumber=0), "犬猫かな").save(FOLDER / "few-cjk.otf")
    few(TTFont(FONTS / "fonts-hosny-amiri/Amiri-Regular.ttf"), "كلب").save(FOLDER / "few-arabic.ttf")
    both = TTCollection()
    for name in ("few-cjk.otf", "few-arabic.ttf"):
        both.fonts.append(TTFont(io.BytesIO((FOLDER / name).read_bytes())))
    both.save(FOLDER / "both.ttc")


if __name__ == "__main__":
    main()
