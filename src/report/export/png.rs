//! Renders plots as PNG.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use crate::error::{Diagnostic, Kind, Result};

/// Pixels per unit of a plot.
const SCALE: f32 = 3.0;

/// Renders SVG images with the system's fonts.
pub struct Painter {
    options: Options<'static>,
}

impl Painter {
    /// Loads the system's fonts.
    ///
    /// # Errors
    /// [`Kind::Missing`] if there are none: the plots would have no text.
    pub fn new() -> Result<Self> {
        let mut fonts = fontdb::Database::new();
        fonts.load_system_fonts();
        // Map the generic family to any available font if its usual members are not installed.
        let sans = |face: &&fontdb::FaceInfo| face.families.iter().any(|(name, _)| name.contains("Sans"));
        let Some(face) = fonts.faces().find(sans).or(fonts.faces().next()) else {
            return Err(Diagnostic::new(Kind::Missing, "the system has no font to draw text with")
                .expected("a font, such as those of the package fonts-dejavu-core")
                .remedy("install one, or use --format svg")
                .into());
        };
        let family = face.families.first().map(|(name, _)| name.clone()).unwrap_or_default();
        fonts.set_sans_serif_family(family);
        Ok(Self { options: Options { fontdb: Arc::new(fonts), ..Options::default() } })
    }

    /// Renders an SVG document as a PNG file, with three pixels per unit.
    ///
    /// # Errors
    /// [`Kind::Malformed`] for invalid SVG.
    pub fn png(&self, svg: &str) -> Result<Vec<u8>> {
        let failed = |what: String| Diagnostic::new(Kind::Malformed, "a plot cannot be drawn").found(what);
        let tree = Tree::from_str(svg, &self.options).map_err(|e| failed(e.to_string()))?;
        let size = tree.size();
        let (width, height) = ((SCALE * size.width()).ceil() as u32, (SCALE * size.height()).ceil() as u32);
        let mut pixels =
            Pixmap::new(width, height).ok_or_else(|| failed(format!("{width} × {height} pixels")))?;
        resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
        Ok(pixels.encode_png().map_err(|e| failed(e.to_string()))?)
    }
}
