use proptest::prelude::*;

use super::*;

const BOX: Size = Size { width: 120.0, height: 36.0 };

fn nodes(groups: &[Option<usize>]) -> Vec<Node> {
    groups.iter().map(|group| Node { size: BOX, group: *group }).collect()
}

fn open(parent: Option<usize>) -> Group {
    Group { parent, folded: None, least_width: 90.0 }
}

fn folded(parent: Option<usize>) -> Group {
    Group { parent, folded: Some(Size { width: 140.0, height: 44.0 }), least_width: 90.0 }
}

fn apart(a: &Rect, b: &Rect) -> bool {
    a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y
}

fn contains(outer: &Rect, inner: &Rect) -> bool {
    outer.x <= inner.x
        && outer.y <= inner.y
        && inner.x + inner.width <= outer.x + outer.width
        && inner.y + inner.height <= outer.y + outer.height
}

/// The groups around a node, innermost first.
fn around(graph: &Graph, mut group: Option<usize>) -> Vec<usize> {
    let mut found = Vec::new();
    while let Some(at) = group {
        found.push(at);
        group = graph.groups[at].parent;
    }
    found
}

/// What is seen of a node.
fn leaf(graph: &Graph, node: usize) -> End {
    around(graph, graph.nodes[node].group).into_iter().rfind(|g| graph.groups[*g].folded.is_some()).map_or(End::Node(node), End::Group)
}

/// Everything that a picture promises. Returns what is wrong with it.
fn faults(graph: &Graph, picture: &Layout) -> Vec<String> {
    let mut wrong = Vec::new();
    let whole = Rect { x: 0.0, y: 0.0, width: picture.width, height: picture.height };
    // Boxes that nothing may be in: tasks and folded groups.
    let mut leaves: Vec<(End, Rect)> = Vec::new();
    for (at, rect) in picture.nodes.iter().enumerate() {
        if rect.is_some() != (leaf(graph, at) == End::Node(at)) {
            wrong.push(format!("node {at} is seen, or not, against what is folded"));
        }
        leaves.extend(rect.map(|rect| (End::Node(at), rect)));
    }
    for (at, rect) in picture.groups.iter().enumerate().filter(|(at, _)| graph.groups[*at].folded.is_some()) {
        leaves.extend(rect.map(|rect| (End::Group(at), rect)));
    }
    for (n, (a, first)) in leaves.iter().enumerate() {
        if !contains(&whole, first) {
            wrong.push(format!("{a:?} is outside of the picture"));
        }
        for (b, second) in &leaves[n + 1..] {
            if !apart(first, second) {
                wrong.push(format!("{a:?} and {b:?} overlap: {first:?} {second:?}"));
            }
        }
    }
    // An open group has its members in it, and nothing else touches it.
    for (group, rect) in picture.groups.iter().enumerate().filter(|(g, _)| graph.groups[*g].folded.is_none()) {
        let Some(rect) = rect else { continue };
        for (end, own) in &leaves {
            let inside = match end {
                End::Node(node) => around(graph, graph.nodes[*node].group).contains(&group),
                End::Group(other) => around(graph, Some(*other)).contains(&group),
                End::Port(_) => unreachable!(),
            };
            if inside && !contains(rect, own) {
                wrong.push(format!("{end:?} sticks out of group {group}"));
            }
            if !inside && !apart(rect, own) {
                wrong.push(format!("{end:?} is in group {group}, which is not its own"));
            }
        }
    }
    for line in &picture.lines {
        for pair in line.points.windows(2) {
            let [(ax, ay), (bx, by)] = pair else { continue };
            if !line.is_back && (bx < ax || (bx == ax && by != ay)) {
                wrong.push(format!("a line goes backward: {line:?}"));
            }
            if line.is_back {
                continue;
            }
            for (end, rect) in &leaves {
                // Somewhere on the line, strictly inside of the box.
                let within = (0..=8).any(|n| {
                    let t = f64::from(n) / 8.0;
                    let (x, y) = (ax + (bx - ax) * t, ay + (by - ay) * t);
                    x > rect.x && x < rect.x + rect.width && y > rect.y && y < rect.y + rect.height
                });
                if within {
                    wrong.push(format!("a line from {:?} to {:?} runs through {end:?}", line.from, line.to));
                }
            }
        }
        let meets = |end: End, (x, y): (f64, f64), right: bool| match end {
            End::Port(_) => true,
            End::Node(node) => picture.nodes[node].is_some_and(|r| on_side(&r, x, y, right)),
            End::Group(group) => picture.groups[group].is_some_and(|r| on_side(&r, x, y, right)),
        };
        if !meets(line.from, line.points[0], true) || !meets(line.to, line.points[line.points.len() - 1], false) {
            wrong.push(format!("a line does not reach its ends: {line:?}"));
        }
    }
    // Following lines through ports says exactly what the arrows say.
    let mut said: Vec<(End, End)> = graph
        .edges
        .iter()
        .filter(|(a, b)| a.max(b) < &graph.nodes.len())
        .map(|(a, b)| (leaf(graph, *a), leaf(graph, *b)))
        .filter(|(a, b)| a != b)
        .collect();
    said.sort_unstable();
    said.dedup();
    let mut drawn = Vec::new();
    for (start, _) in &leaves {
        let mut open = vec![*start];
        let mut seen = Vec::new();
        while let Some(end) = open.pop() {
            for line in picture.lines.iter().filter(|line| line.from == end) {
                match line.to {
                    End::Port(_) if !seen.contains(&line.to) => {
                        seen.push(line.to);
                        open.push(line.to);
                    }
                    End::Port(_) => {}
                    to => drawn.push((*start, to)),
                }
            }
        }
    }
    drawn.sort_unstable();
    drawn.dedup();
    if said != drawn {
        wrong.push(format!("the lines say {drawn:?}, the arrows {said:?}"));
    }
    wrong
}

fn on_side(rect: &Rect, x: f64, y: f64, right: bool) -> bool {
    let side = if right { rect.x + rect.width } else { rect.x };
    (x - side).abs() < 0.01 && y >= rect.y && y <= rect.y + rect.height
}

fn checked(graph: &Graph) -> Layout {
    let picture = layout(graph);
    assert_eq!(faults(graph, &picture), Vec::<String>::new());
    assert_eq!(layout(graph), picture, "the same again");
    picture
}

fn x(picture: &Layout, node: usize) -> f64 {
    picture.nodes[node].unwrap().x
}

#[test]
fn nothing_is_a_picture_too() {
    checked(&Graph::default());
    checked(&Graph { nodes: nodes(&[None]), ..Graph::default() });
}

#[test]
fn a_chain_is_one_straight_line() {
    let graph = Graph { nodes: nodes(&[None; 5]), edges: (0..4).map(|n| (n, n + 1)).collect(), ..Graph::default() };
    let picture = checked(&graph);
    assert!((0..4).all(|n| x(&picture, n) < x(&picture, n + 1)));
    assert!(picture.lines.iter().all(|line| line.points.len() == 2 && line.points[0].1 == line.points[1].1), "{:?}", picture.lines);
}

#[test]
fn a_long_arrow_passes_what_is_between() {
    let graph = Graph { nodes: nodes(&[None; 4]), edges: vec![(0, 1), (1, 2), (2, 3), (0, 3)], ..Graph::default() };
    checked(&graph);
}

#[test]
fn what_leads_on_stands_before_that_and_not_at_the_left() {
    // 3 is needed by 2 alone.
    let graph = Graph { nodes: nodes(&[None; 4]), edges: vec![(0, 1), (1, 2), (3, 2)], ..Graph::default() };
    let picture = checked(&graph);
    assert!(x(&picture, 3) == x(&picture, 1), "{:?}", picture.nodes);
}

#[test]
fn two_trees_do_not_cross() {
    let graph =
        Graph { nodes: nodes(&[None; 8]), edges: vec![(0, 4), (0, 6), (1, 5), (1, 7), (4, 2), (6, 2), (5, 3), (7, 3)], ..Graph::default() };
    let picture = checked(&graph);
    let y = |n: usize| picture.nodes[n].unwrap().y;
    assert_eq!(y(4) < y(5), y(6) < y(7));
    assert_eq!(y(4) < y(5), y(0) < y(1));
    assert_eq!(y(0) < y(1), y(2) < y(3));
}

#[test]
fn groups_are_boxes_within_boxes_and_folded_they_are_one() {
    let edges = vec![(0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (4, 5)];
    let members = nodes(&[None, Some(0), Some(1), Some(1), Some(0), None]);
    let graph = Graph { nodes: members.clone(), groups: vec![open(None), open(Some(0))], edges: edges.clone() };
    let picture = checked(&graph);
    assert!(contains(&picture.groups[0].unwrap(), &picture.groups[1].unwrap()));
    let inner = checked(&Graph { nodes: members.clone(), groups: vec![open(None), folded(Some(0))], edges: edges.clone() });
    assert!(inner.nodes[2].is_none() && inner.nodes[1].is_some() && inner.width < picture.width);
    let outer = checked(&Graph { nodes: members, groups: vec![folded(None), open(Some(0))], edges });
    assert!(outer.groups[1].is_none() && outer.lines.len() == 2);
}

#[test]
fn members_with_the_same_tasks_before_them_share_a_port() {
    let mut groups = vec![None; 3];
    groups.extend([Some(0); 30]);
    let edges: Vec<(usize, usize)> = (0..3).flat_map(|from| (3..33).map(move |to| (from, to))).collect();
    let picture = checked(&Graph { nodes: nodes(&groups), groups: vec![open(None)], edges });
    assert_eq!((picture.lines.len(), picture.ports), (33, 1));
}

#[test]
fn groups_that_wait_for_each_other_have_a_line_that_is_marked() {
    // 0 and 2 are members, 1 stands between them.
    let graph = Graph { nodes: nodes(&[Some(0), None, Some(0)]), groups: vec![open(None)], edges: vec![(0, 1), (1, 2)] };
    let picture = checked(&graph);
    assert_eq!(picture.lines.iter().filter(|line| line.is_back).count(), 1);
}

#[test]
fn what_has_no_arrow_stands_in_rows() {
    let mut graph = Graph { nodes: nodes(&[None; 200]), ..Graph::default() };
    let picture = checked(&graph);
    assert!(picture.width > picture.height && picture.width < 4.0 * picture.height, "{} x {}", picture.width, picture.height);
    graph.edges = vec![(0, 1)];
    checked(&graph);
}

#[test]
fn arrows_to_nothing_are_left_out() {
    let graph = Graph { nodes: nodes(&[None, None]), groups: Vec::new(), edges: vec![(0, 9), (1, 1), (0, 1), (0, 1)] };
    assert_eq!(checked(&graph).lines.len(), 1);
}

/// DAGs of up to 40 tasks in up to 6 groups, nested and folded at random.
fn any_graph() -> impl Strategy<Value = Graph> {
    let groups = prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), prop::bool::weighted(0.25)), 0..6);
    (1usize..40, groups).prop_flat_map(|(count, groups)| {
        let groups: Vec<Group> = groups
            .into_iter()
            .enumerate()
            .map(|(at, (parent, is_inner, is_folded))| {
                let parent = (at > 0 && is_inner).then(|| parent.index(at));
                if is_folded { folded(parent) } else { open(parent) }
            })
            .collect();
        let many = groups.len();
        let node = (prop::option::of(any::<prop::sample::Index>()), 40u8..200, 20u8..60);
        let edges = prop::collection::vec((0..count, 0..count), 0..count * 2);
        (Just(groups), prop::collection::vec(node, count), edges).prop_map(move |(groups, nodes, edges)| Graph {
            nodes: nodes
                .into_iter()
                .map(|(group, width, height)| Node {
                    size: Size { width: f64::from(width), height: f64::from(height / 2 * 2) },
                    group: group.filter(|_| many > 0).map(|at| at.index(many)),
                })
                .collect(),
            groups,
            edges: edges.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect(),
        })
    })
}

proptest! {
    #[test]
    fn every_picture_keeps_its_promises(graph in any_graph()) {
        let picture = layout(&graph);
        prop_assert_eq!(faults(&graph, &picture), Vec::<String>::new());
        prop_assert_eq!(layout(&graph), picture);
    }
}

/// As people write large DAGs: groups of some tasks in a row, each after two or three of the groups before it.
fn large(count: usize) -> Graph {
    let mut seed = 7u64;
    let mut chance = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let each = 10;
    let mut edges = Vec::new();
    for node in 0..count {
        let (group, within) = (node / each, node % each);
        if within > 0 {
            edges.push((group * each + chance(within), node));
        } else if group > 0 {
            for _ in 0..2 {
                edges.push((chance(group.min(12)) * each + group.saturating_sub(12) * each + each - 1, node));
            }
        }
    }
    edges.retain(|(from, to)| from < to);
    let groups: Vec<Option<usize>> = (0..count).map(|node| Some(node / each)).collect();
    Graph { nodes: nodes(&groups), groups: vec![open(None); count.div_ceil(each)], edges }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn two_thousand_tasks_take_a_moment() {
    let grouped = large(2000);
    let flat = Graph { nodes: nodes(&[None; 2000]), groups: Vec::new(), edges: grouped.edges.clone() };
    for (name, graph) in [("in 200 groups", grouped), ("without groups", flat)] {
        let begin = std::time::Instant::now();
        let picture = layout(&graph);
        let took = begin.elapsed();
        println!("2,000 tasks {name}: {took:?}, {} lines, {:.0} x {:.0}", picture.lines.len(), picture.width, picture.height);
        // Unoptimised and on a busy machine; released, it is a tenth of it.
        assert!(took.as_secs_f64() < 5.0, "{took:?}");
        assert_eq!(faults_of_boxes(&picture), 0);
    }
}

/// How many pairs of tasks overlap: the quick part of [`faults`].
fn faults_of_boxes(picture: &Layout) -> usize {
    let mut boxes: Vec<Rect> = picture.nodes.iter().flatten().copied().collect();
    boxes.sort_by(|a, b| a.x.total_cmp(&b.x));
    let near = |a: usize| {
        let right = boxes[a].x + boxes[a].width;
        boxes[a + 1..].iter().take_while(|b| b.x < right).filter(|b| !apart(&boxes[a], b)).count()
    };
    (0..boxes.len()).map(near).sum()
}
